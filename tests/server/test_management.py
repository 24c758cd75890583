"""The management port of a running service: what a load balancer asks, and when it hears no."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, Backstage, eventually
from support.log_lines import lines_of
from support.managed import ManagedService, managed
from support.service import free_port, http
from support.starting import attempt
from support.store_faults import locked_by_a_stranger

PARTS = {"store", "keys", "secrets", "audit", "clock"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedService]:
    """A service with two workers and a management port."""
    with managed(tmp_path_factory.mktemp("managed")) as running:
        yield running


def becomes(service: ManagedService, status: int) -> dict[str, Any]:
    """The report, as soon as the answer has that status."""
    assert eventually(lambda: service.ready()[0] == status, seconds=15), service.ready()
    return service.ready()[1]


def test_a_service_that_serves_is_live_and_ready(service: ManagedService):
    """Ready names every part, of every worker; live says no more than that somebody looks after them."""
    assert eventually(lambda: "starting" not in becomes(service, 200)["workers"], seconds=15)
    report = service.ready()[1]
    assert report["status"] == "ready"
    assert report["parts"] == dict.fromkeys(PARTS, "ok")
    assert report["workers"] == [dict.fromkeys(PARTS, "ok")] * 2
    status, headers, body = http("GET", service.management + "/health/live")
    assert (status, json.loads(body)) == (200, {"status": "live"})
    assert headers["Cache-Control"] == "no-store"
    assert headers["Server"] == "tillit"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_x5_nothing_of_it_is_on_the_public_port(path: str, service: ManagedService):
    """The public port knows no health and no metrics, however its address is written."""
    for spelt in (path, "/" + path, path + "/", path.replace("/", "/./", 1), path.upper()):
        assert http("GET", service.origin + spelt)[0] == 404


def test_the_management_port_does_nothing_else(service: ManagedService):
    """It gives no token and no key, and changes nothing; what it does not know is 404, what is no look is 405."""
    for path in ("/connect/token", "/.well-known/openid-configuration", "/", "/health", "/metrics/"):
        assert http("GET", service.management + path)[0] == 404
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = http(method, service.management + "/health/ready")
        assert (status, headers["Allow"]) == (405, "GET, HEAD")
    assert http("HEAD", service.management + "/health/ready")[0] == 200


def test_x4_who_says_nothing_at_the_management_port_holds_up_nobody(service: ManagedService):
    """Forty connections that send half a request leave health as quick as ever."""
    waiting = [socket.create_connection(("127.0.0.1", service.management_port), 5) for _ in range(40)]
    for connection in waiting:
        connection.sendall(b"GET /health/ready HT")
    assert service.ready()[0] == 200
    for connection in waiting:
        connection.close()


def test_a_worker_that_hangs_is_seen(service: ManagedService):
    """A worker that stands still would keep its requests waiting, so the service is not ready until it goes on."""
    becomes(service, 200)
    pid = service.worker_pids()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        report = becomes(service, 503)
        assert "no answer" in report["workers"]
        assert http("GET", service.management + "/health/live")[0] == 200
        for _ in range(3):
            assert service.ready()[0] == 503
    finally:
        os.kill(pid, signal.SIGCONT)
    becomes(service, 200)


def test_x2_a_worker_that_died_takes_nothing_from_the_others(service: ManagedService):
    """While a killed worker is replaced the others serve; its successor answers for itself."""
    died = service.total("tillit_workers_died")
    os.kill(service.worker_pids()[0], signal.SIGKILL)
    assert eventually(lambda: service.total("tillit_workers", state="answering") == 2, seconds=15)
    assert service.total("tillit_workers_died") >= died
    assert eventually(lambda: service.total("tillit_workers_died") == died + 1)
    becomes(service, 200)


def test_u3_a_store_that_cannot_write_is_told(service: ManagedService):
    """When an entry could not be written the audit is not well; after the next that can be, it is."""
    backstage = Backstage(service)
    ehr = backstage.client()
    assert ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()).status == 200
    form, proof = ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()
    with locked_by_a_stranger(service):
        assert ehr.send(form, proof).status == 503
        report = becomes(service, 503)
        parts = report["parts"]
        assert parts["audit"] != "ok"
    assert eventually(
        lambda: ehr.send(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()).status == 200
    )
    becomes(service, 200)
    backstage.close()


def test_d9_a_clock_that_goes_back_is_told(service: ManagedService):
    """A clock set back by an hour makes its part unwell until it is right again."""
    becomes(service, 200)
    try:
        service.set_clock(offset=-3600)
        parts = becomes(service, 503)["parts"]
        assert parts["clock"].startswith("set back by 3")
    finally:
        service.set_clock(offset=0)
    becomes(service, 200)


def test_x1_others_hear_that_it_will_stop_before_it_does(tmp_path: Path):
    """After SIGTERM the service is not ready, and serves all the same until the pause is over; then it goes."""
    with managed(tmp_path / "draining", workers=1, settings={"drain": 300}) as service:
        becomes(service, 200)
        assert service.process is not None
        service.process.send_signal(signal.SIGTERM)
        assert becomes(service, 503)["status"] == "draining"
        assert http("GET", service.origin + "/.well-known/openid-configuration")[0] == 200
        assert service.total("tillit_draining") == 1
        assert service.process.poll() is None
        assert service.stop() == 0  # a second signal cuts the pause short


def test_a_taken_management_port_stops_the_start(tmp_path: Path):
    """Nothing is served without the port that was asked for: one line, exit code 2."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        done = attempt(
            *("serve", "--dev", "--data", str(tmp_path / "data"), "--port", str(free_port())),
            *("--management-port", str(port)),
            output=tmp_path / "said",
        )
    assert done.code == 2
    assert f"management_port: 127.0.0.1 port {port} cannot be used" in done.output


def test_x6_nothing_asked_at_the_management_port_writes_the_log(service: ManagedService):
    """Line breaks, escapes, huge heads and broken requests leave no line, and the port answers as before."""
    before = service.log()
    for text in (
        b"\x1b[2J canary",
        b'canary"}{',
        "\u2028canary".encode(),
        b"canary" * 20_000,
        b"\x00\xff canary",
    ):
        for head in (
            b"GET /" + text + b" HTTP/1.1\r\n\r\n",
            text + b"\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: " + text,
        ):
            address = ("127.0.0.1", service.management_port)
            with suppress(OSError), closing(socket.create_connection(address, 5)) as connection:
                connection.sendall(head)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(100)
    assert service.ready()[0] in {200, 503}
    assert "canary" not in service.log()[len(before) :]
    lines_of(service.log())
