"""A backup is made of a running installation: one moment of it, in a new file."""

from pathlib import Path

from tillit import __version__
from tillit_server.audit.events import BackupMade
from tillit_server.backends import opened_rows
from tillit_server.recovery.archive import write_archive
from tillit_server.recovery.manifest import Manifest
from tillit_server.wiring import Installation


def back_up(installation: Installation, path: Path, *, operator: str, reason: str) -> Manifest:
    """Write everything that lasts to a new file, and who did so into the audit.

    Raises ``StorageRefused`` where the file is there already, ``StorageUnavailable``.
    """
    settings, services = installation.settings, installation.services
    with opened_rows(settings) as walk:
        manifest = write_archive(
            path,
            walk,
            installation.custody,
            issuer=settings.issuer,
            release=__version__,
            now=services.clock(),
        )
    services.audit.record(
        BackupMade(made_at=manifest.made_at, sha256=manifest.sha256, operator=operator, reason=reason)
    )
    return manifest
