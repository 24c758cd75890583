"""The reverse proxy of `config/deployment/` in front of running services, as it is shipped, on other ports."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from support.pages import ROOT
from support.programs import nginx
from support.service import free_port
from support.tls import make_certificate

CONFIGURATION = ROOT / "config" / "deployment" / "nginx.conf"
START_SECONDS = 30
_SHIPPED = "    server 127.0.0.1:8080 max_fails=2 fail_timeout=2s;\n"
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Front:
    """nginx on `port` in clear and on `tls_port` with TLS, before services at `hosts` (``address:port``)."""

    def __init__(self, home: Path, hosts: Sequence[str], *, address: str = "127.0.0.1") -> None:
        """Not started yet; inside of a `with` block it runs."""
        self.home = home
        self.address = address
        self.port, self.tls_port, self._redirecting = free_port(), free_port(), free_port()
        self.hosts = dict.fromkeys(hosts, True)
        home.mkdir(exist_ok=True)
        self._certificate = make_certificate(home)
        self._file = home / "nginx.conf"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._write()
        with (self.home / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(
                [nginx(), "-c", self._file, "-g", "daemon off;"], stdout=log, stderr=log
            )
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self._process.poll() is None, (self.home / "nginx.log").read_text()
            with suppress(OSError), socket.create_connection((self.address, self.port), 1):
                return self
            time.sleep(0.02)
        raise AssertionError("nginx does not answer")

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(START_SECONDS)

    def serves(self, host: str, *, so: bool) -> None:
        """Send requests to a host, or none to it from now on; whoever did otherwise has ended, or takes no more."""
        self.hosts[host] = so
        before = self._workers()
        self._write()
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        end = time.monotonic() + START_SECONDS
        while (
            any(pid in before and not ending for pid, ending in self._workers().items())
            or not self._workers()
        ):
            assert time.monotonic() < end
            time.sleep(0.01)

    def _workers(self) -> dict[int, bool]:
        """The worker processes, and of each whether it takes no more."""
        assert self._process is not None
        pid = self._process.pid
        found = {}
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            with suppress(OSError):
                found[int(child)] = b"shutting down" in Path(f"/proc/{child}/cmdline").read_bytes()
        return found

    def _write(self) -> None:
        text = CONFIGURATION.read_text(encoding="utf-8")
        assert text.count(_SHIPPED) == 1
        servers = (
            _SHIPPED.replace("127.0.0.1:8080", host).replace(";", ";" if so else " down;")
            for host, so in self.hosts.items()
        )
        for old, new in {
            _SHIPPED: "".join(servers),
            "listen 443 ssl;": f"listen {self.address}:{self.tls_port} ssl; listen {self.address}:{self.port};",
            "listen 80;": f"listen {self.address}:{self._redirecting};",
            "/var/log/nginx": str(self.home),
            "/etc/nginx/tls/tillit.key": str(self._certificate),
            "/etc/nginx/tls/tillit.crt": str(self._certificate),
        }.items():
            assert old in text
            text = text.replace(old, new)
        places = "".join(f"{name}_temp_path {self.home}/{name};\n" for name in _TEMPORARY)
        main = f"worker_processes 2;\npid {self.home}/pid;\nerror_log stderr;\n"
        # As root it would give its workers to a user who need not be there.
        main += "user root;\n" if os.geteuid() == 0 else ""
        self._file.write_text(
            f"{main}events {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n", encoding="utf-8"
        )
