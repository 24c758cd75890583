"""X4: who sends slowly keeps nobody else waiting, and not for ever."""

import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.evidence import record, setting
from support.service import Service, http
from support.wire import FORM
from tillit_server.serving.connections import close_stuck

SLOW_BODIES, SLOW_HEADERS = 200, 100
ANSWER_SECONDS = 2.0
SLOW_LONG, SECONDS_LONG = setting("SLOW_SENDERS", 500), setting("SLOW_SECONDS", 60)
GONE_SECONDS = 15.0

HEAD = f"POST /connect/token HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: 1000\r\n\r\n".encode()
HALF_A_HEAD = b"POST /connect/token HTTP/1.1\r\nHost: a\r\nX: "


@contextmanager
def senders(service: Service, beginning: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have sent a beginning and then hesitate."""
    with ExitStack() as opened:
        connections = [
            opened.enter_context(closing(socket.create_connection(("127.0.0.1", service.port), 10)))
            for _ in range(count)
        ]
        for connection in connections:
            connection.sendall(beginning)
        yield connections


def seconds_of_a_token(ehr: SwiftEhr) -> float:
    """How long a good request takes."""
    form, proof = ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()
    begun = time.monotonic()
    assert ehr.send(form, proof).status == 200
    return time.monotonic() - begun


def test_x4_slow_senders_do_not_hold_up_the_others(service: Service, backstage: Backstage):
    """With hundreds of headers and bodies half sent, tokens and keys are given as if there were none."""
    ehr = backstage.client()
    ehr.nonce()
    with senders(service, HEAD, SLOW_BODIES), senders(service, HALF_A_HEAD, SLOW_HEADERS):
        for _ in range(5):
            assert seconds_of_a_token(ehr) < ANSWER_SECONDS
            begun = time.monotonic()
            assert http("GET", service.issuer + "/.well-known/openid-configuration/jwks")[0] == 200
            assert time.monotonic() - begun < ANSWER_SECONDS


def test_x4_a_connection_that_gets_nowhere_is_closed():
    """Who has been sent nothing for too long is closed, however it drips; who was answered lately is not."""
    with ExitStack() as opened:
        listener = opened.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        port = listener.getsockname()[1]
        pairs = []
        for _ in range(2):
            client = opened.enter_context(closing(socket.create_connection(("127.0.0.1", port), 10)))
            accepted, _ = listener.accept()
            pairs.append((client, opened.enter_context(closing(accepted))))
        (dripping, _), (answered, server) = pairs

        def closed() -> int:
            dripping.sendall(b"a")
            server.sendall(b"a")
            return close_stuck(port, after=0.2)

        assert close_stuck(port, after=10) == 0
        assert close_stuck(port + 1 if port < 65_535 else 1, after=0) == 0
        assert eventually(closed) == 1
        assert dripping.recv(1) == b""
        assert answered.recv(1) == b"a"


@pytest.mark.long
def test_x4_five_hundred_slow_senders_for_a_minute(service: Service, backstage: Backstage):
    """For a minute, the slowest of a hundred tokens amid slow senders takes at most twice as long as without."""
    ehr = backstage.client()
    ehr.nonce()

    def p99(count: int) -> float:
        return statistics.quantiles([seconds_of_a_token(ehr) for _ in range(count)], n=100)[98]

    calm, begun, busy, closed = p99(300), time.monotonic(), [], 0
    while time.monotonic() - begun < SECONDS_LONG:
        with senders(service, HEAD, SLOW_LONG // 2) as bodies, senders(service, HALF_A_HEAD, SLOW_LONG // 2):
            over = time.monotonic() + GONE_SECONDS
            while time.monotonic() < over:
                busy.append(p99(100))
                for body in bodies:
                    try:
                        body.send(b"a")
                    except OSError:
                        closed += 1
    record(
        f"X4 {SLOW_LONG} slow senders, 2 workers",
        seed=None,
        seconds=time.monotonic() - begun,
        counts={
            "p99 ms without": round(1000 * calm, 1),
            "p99 ms amid them": round(1000 * statistics.median(busy), 1),
            "sends to a closed connection": closed,
        },
    )
    assert closed
    assert statistics.median(busy) <= 2 * calm
