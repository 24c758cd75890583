"""The management port: a small server in a thread of the supervisor, which knows all workers."""

import logging
import socket
import threading
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client.core import Metric

from tillit_server.config import Settings, SettingsError
from tillit_server.console.app import make_console
from tillit_server.console.health import readiness
from tillit_server.metrics import exposition, gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed.wsgi import WSGIApplication

    from tillit_server.serving.supervisor import Supervisor, Told

_log = logging.getLogger("tillit.console")

READ_SECONDS = 5


class _Handler(WSGIRequestHandler):
    timeout = READ_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name in the standard library)
        """Say nothing: probes come every second."""


def open_management(settings: Settings) -> "Callable[[Supervisor], None] | None":
    """Take the management port now, so that a taken one stops the start; the result begins to answer there.

    None when there is none. Raises ``SettingsError``.
    """
    if not settings.management_port:
        return None
    host, port = settings.management_host, settings.management_port
    try:
        server = ManagementServer(host, port)
    except OSError as error:
        line = f"management_port: {host} port {port} cannot be used ({error.strerror})"
        raise SettingsError([line]) from error
    return lambda supervisor: server.begin(console_of(supervisor))


def console_of(supervisor: "Supervisor") -> "WSGIApplication":
    """Health and metrics of all that ``supervisor`` keeps running."""

    def live() -> tuple[bool, dict[str, Any]]:
        well = supervisor.living()
        return well, {"status": "live" if well else "workers are not looked after"}

    def ready() -> tuple[bool, dict[str, Any]]:
        told = supervisor.ask()
        workers = [of if isinstance(of, str) else of["parts"] for of in told]
        known = [of.get("servers", {}) for of in told if not isinstance(of, str)]
        return readiness(workers, draining=supervisor.draining, servers=known[0] if known else {})

    def metrics() -> bytes:
        told = supervisor.ask()
        workers = {str(n): of["metrics"] for n, of in enumerate(told, 1) if not isinstance(of, str)}
        return exposition(workers, _of_the_service(supervisor, told))

    return make_console(live=live, ready=ready, metrics=metrics)


def _of_the_service(supervisor: "Supervisor", told: "Sequence[Told]") -> list[Metric]:
    is_ready, _ = readiness(
        [of if isinstance(of, str) else of["parts"] for of in told], draining=supervisor.draining
    )
    answering = sum(not isinstance(of, str) for of in told)
    return [
        gauge("tillit_ready", "Whether requests should be sent here.", {"": is_ready}),
        gauge("tillit_draining", "Whether the service is about to stop.", {"": supervisor.draining}),
        gauge("tillit_workers", "Workers: wanted, and telling how they are.",
              {"wanted": len(told), "answering": answering}, "state"),
        gauge("tillit_workers_died", "Workers that ended unasked.", {"": supervisor.died}),
    ]  # fmt: skip


class ManagementServer(ThreadingMixIn, WSGIServer):
    """Listens from the start; answers once ``begin`` was called. The standard library's server.

    A load balancer's probe and a scrape every few seconds are all that it must bear.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int) -> None:
        """Take the port. Raises ``OSError``."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def begin(self, app: "WSGIApplication") -> None:
        """Answer from now on, in a thread."""
        self.set_app(app)
        threading.Thread(target=self.serve_forever, name="management", daemon=True).start()

    def server_bind(self) -> None:
        """Bind, without asking a name server who we are, as the library would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no news; the library would write a traceback."""
        del request, client_address
        _log.debug("a connection to the management port broke")
