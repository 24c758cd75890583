"""``serve``: what is checked before the first worker starts, and what a worker is made of."""

import contextlib
import ctypes
import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import time
from contextlib import closing
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

from tillit_server.config import Settings, SettingsError
from tillit_server.front_door import public_app
from tillit_server.housekeeping import Housekeeper
from tillit_server.logs import SERVER_LOGGING, set_up_logging
from tillit_server.serving.connections import close_stuck
from tillit_server.serving.management import open_management
from tillit_server.serving.reports import answer_questions
from tillit_server.serving.supervisor import REFUSED, Supervisor
from tillit_server.serving.traces import open_traces, wants_traces
from tillit_server.serving.worker_report import WorkerReport
from tillit_server.storage.ports import StorageUnavailable
from tillit_server.web.door import Door
from tillit_server.web.urls import endpoint_names, judged_paths
from tillit_server.wiring import UNUSABLE, build

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("tillit.serving")

BACKLOG = 1024
CONNECTIONS = 512
"""Open connections of a worker, idle ones included, each with a thread while it is asked something; more wait
in the kernel."""
MAX_HEADER_BYTES = 8_192
HEADER_TIMEOUT_MS = 5_000
GC_THRESHOLDS = (20_000, 20, 100)
PORT_PATIENCE = 1.0
MANY_FILES = 8_192
HEAPS = 2
_M_ARENA_MAX = -8  # <malloc.h> of glibc
TRY_AGAIN = 75
"""Exit code of a worker that may start later (EX_TEMPFAIL of sysexits.h)."""


def serve(settings: Settings) -> None:
    """Serve until told to stop (SIGTERM or SIGINT); SIGHUP replaces the workers one by one.

    Everything is built and closed once before the first worker starts, so that a broken set-up stops the
    start; so does a key that cannot sign. Raises what ``build`` raises.
    """
    set_up_logging()
    _limit_resources()
    _require_free_port(settings)
    wants_traces(settings)
    management = open_management(settings)
    with closing(build(settings)) as installation:
        installation.services.signer.check()
        public_app(installation)
    server = Supervisor(
        "tillit",
        drain=settings.drain,
        on_serving=management,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.workers,
        backlog=BACKLOG,
        backpressure=CONNECTIONS,
        blocking_threads=CONNECTIONS,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=HEADER_TIMEOUT_MS, keep_alive=True, max_buffer_size=MAX_HEADER_BYTES
        ),
        websockets=False,
        log_level=LogLevels.warning,
        log_dictconfig=SERVER_LOGGING,
    )
    mode = "development" if settings.dev else "production"
    _log.info("serving", extra={"event": {"issuer": settings.issuer, "mode": mode, "pid": os.getpid()}})
    loader: Callable[..., Any] = partial(_load, settings, server.ready)
    server.serve(target_loader=loader, wrap_loader=False)


def _limit_resources() -> None:
    """No core dumps, which would hold keys (threat U5); as many open files as connections need; few heaps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(MANY_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    # The C library gives every few threads a heap of their own, which with ours costs a third of the memory.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, HEAPS)


def _require_free_port(settings: Settings) -> None:
    """Workers share the port (``SO_REUSEPORT``), so a second service would get half of our requests."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    deadline = time.monotonic() + PORT_PATIENCE
    while True:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((settings.host, settings.port))
            except OSError as error:
                # Workers of a service that was killed need a moment to notice.
                if time.monotonic() > deadline:
                    line = f"port: {settings.host} port {settings.port} cannot be used ({error.strerror})"
                    raise SettingsError([line]) from error
            else:
                return
        time.sleep(PORT_PATIENCE / 20)


def _load(settings: Settings, ready: Semaphore, line: Connection) -> Door:
    """The application of one worker; what it has open is closed when the worker stops in good order.

    By ``line`` the supervisor asks how it is.
    """
    # Until the server sets its own, a worker has its supervisor's handlers: a stop would not be heard.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped_while_loading)
    set_up_logging()
    try:
        installation = build(settings, worker=True)
        app = public_app(installation)
    except UNUSABLE as error:
        _log.error("worker cannot start", extra={"event": {"reason": str(error)}})
        raise SystemExit(TRY_AGAIN if isinstance(error, StorageUnavailable) else REFUSED) from None
    Finalize(None, installation.close, exitpriority=1)
    traces = open_traces(settings, installation.services.meters)
    if traces is not None:
        Finalize(None, traces.close, exitpriority=2)
    door = Door(
        app,
        places=settings.threads,
        judged=judged_paths(settings.path),
        names=endpoint_names(settings.path),
        meters=installation.services.meters,
        traces=traces,
    )
    supervisor = multiprocessing.parent_process()
    chores = (partial(_leave_when_orphaned, supervisor), partial(close_stuck, settings.port))
    Housekeeper(chores)
    # What is built lives as long as the worker: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    answer_questions(line, WorkerReport(installation))
    ready.release()
    return door


def _stopped_while_loading(number: int, frame: object) -> None:
    del number, frame
    raise SystemExit(0)


def _leave_when_orphaned(supervisor: Any) -> None:
    """A worker whose supervisor was killed would hold the port and answer to nobody."""
    if supervisor is not None and os.getppid() != supervisor.pid:
        os.kill(os.getpid(), signal.SIGTERM)
