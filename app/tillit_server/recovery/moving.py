"""What lasts moves between the embedded database and the server, and nothing of it is lost."""

from collections.abc import Mapping
from dataclasses import replace

from tillit_server.audit.events import ReplayFenceRaised
from tillit_server.clock import make_clock
from tillit_server.config import Settings
from tillit_server.recovery.fencing import begin_anew
from tillit_server.recovery.placing import put_in_place, stopped
from tillit_server.signing.custody import open_custody
from tillit_server.storage.copying import embedded_rows, write_file
from tillit_server.storage.sql_copying import moving_away, server_rows, write_server
from tillit_server.storage.sqlite_file import DATABASE, open_for_writing
from tillit_server.storage.switching import MOVED

_REASON = "moved back from the servers"


def move_to_server(settings: Settings, url: str) -> Mapping[str, int]:
    """Copy what lasts to an empty database of the present schema; how many rows each table has now.

    Raises ``StorageRefused``, ``StorageUnavailable``; then nothing was copied.
    """
    path = settings.data / DATABASE
    open_for_writing(path).close()  # checked, and of the present schema
    with embedded_rows(path, alone=True) as walk:
        return write_server(walk, url)


def move_back(settings: Settings, url: str) -> tuple[Mapping[str, int], str]:
    """Make the embedded database from the server's; the rows of each table, and where the old file is kept.

    What is short-lived stays behind, so a fence refuses what was made before; on the server, which is marked,
    no host goes on. Raises ``CustodyError``, ``StorageRefused``, ``StorageUnavailable``; then nothing was put
    in place.
    """
    embedded = replace(settings, storage_url=None, storage_shared_url=None)
    custody = open_custody(settings.keys_directory, passphrase_file=settings.passphrase_of_master_key)
    with stopped(embedded, over=True) as scratch, moving_away(url):
        now = make_clock(settings.clock)()
        with server_rows(url) as walk:
            rows = write_file(walk, scratch / DATABASE, without=(MOVED,))
        event = ReplayFenceRaised(number=0, fence_at=now, reason=_REASON)
        begin_anew(scratch / DATABASE, custody, now, event=event)
        return rows, put_in_place(embedded, scratch, str(int(now)), over=True)
