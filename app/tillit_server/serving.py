"""Runs the front door under the production server: a supervisor, workers, and a start that fails early."""

import gc
from functools import partial
from multiprocessing.util import Finalize
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tillit_server.config import Settings
from tillit_server.logs import set_up_logging
from tillit_server.wiring import build, public_app

BACKLOG = 1024
RESPAWN_SECONDS = 0.2
GRACE_SECONDS = 10
MAX_HEADER_BYTES = 8_192
HEADER_TIMEOUT_MS = 5_000
GC_THRESHOLDS = (20_000, 20, 100)


def serve(settings: Settings) -> None:
    """Serve until told to stop (SIGTERM or SIGINT).

    Everything is built and closed once before the first worker starts, so that a broken set-up stops the
    start. Raises what ``build`` raises.
    """
    set_up_logging()
    build(settings).close()
    server = Granian(
        "tillit",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        blocking_threads=settings.threads,
        backlog=BACKLOG,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_TIMEOUT_MS, keep_alive=True, max_buffer_size=MAX_HEADER_BYTES
        ),
        websockets=False,
        log_level=LogLevels.warning,
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_SECONDS,
        workers_kill_timeout=GRACE_SECONDS,
    )
    server.serve(target_loader=partial(_load, settings), wrap_loader=False)


def _load(settings: Settings) -> Any:
    """The WSGI callable of one worker; what it has open is closed when the worker stops in good order."""
    set_up_logging()
    installation = build(settings, worker=True)
    Finalize(None, installation.close, exitpriority=1)
    app = public_app(installation)
    # What is built lives as long as the worker: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    return app
