"""X4: who sends slowly keeps nobody else waiting, and not for ever."""

import itertools
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.crowd import HALF_A_HEAD, HEAD, flood, senders
from support.evidence import record, setting
from support.managed import ManagedService, managed
from support.service import Service, http
from tillit_server.serving.connections import close_stuck

SLOW_BODIES, SLOW_HEADERS = 200, 100
ANSWER_SECONDS = 2.0
SLOW_LONG, SECONDS_LONG = setting("SLOW_SENDERS", 500), setting("SLOW_SECONDS", 60)
GONE_SECONDS = 15.0


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


def behind_a_proxy(ehr: SwiftEhr, number: int) -> float:
    """How long a good request of somebody else takes, from an address of its own."""
    form, proof = ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()
    headers = {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250}"}
    begun = time.monotonic()
    assert ehr.send(form, proof, headers=headers).status == 200
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedService]:
    """A service behind a proxy, at which an address may ask for a token once a second."""
    settings = {"address_limits": ["token=60/minute"], "trusted_proxies": ["127.0.0.1"]}
    with managed(tmp_path_factory.mktemp("limited"), workers=1, settings=settings, patience=5.0) as running:
        yield running


@pytest.fixture(scope="module")
def others(limited: ManagedService) -> Iterator[SwiftEhr]:
    """Those who ask as one should."""
    opened = Backstage(limited)
    ehr = opened.client()
    ehr.nonce()
    yield ehr
    opened.close()


def test_x4_x7_g16_a_flood_and_slow_senders_leave_the_others_alone(limited: ManagedService, others: SwiftEhr):
    """Amid slow senders and an address that asks a hundred times too often, everybody else gets tokens."""
    with (
        senders(limited, HEAD, 60),
        senders(limited, HALF_A_HEAD, 40),
        flood(limited, "203.0.113.9", per_second=100) as statuses,
    ):
        assert eventually(lambda: statuses[429] > 20, seconds=30)
        times = [behind_a_proxy(others, number) for number in range(20)]
    assert statuses[400] <= 2 * 60  # its share of a minute, or of two
    assert statuses[0] == 0
    assert statistics.median(times) < ANSWER_SECONDS


@pytest.mark.long
def test_g16_x4_x7_five_hundred_slow_senders_and_a_flood_for_a_minute(
    limited: ManagedService, others: SwiftEhr
):
    """For a minute, the slowest of a hundred tokens of others takes at most twice as long as without."""
    numbers = itertools.count(100)

    def p99(count: int) -> float:
        times = [behind_a_proxy(others, next(numbers) % 50_000) for _ in range(count)]
        return statistics.quantiles(times, n=100)[98]

    calm, begun, busy, closed = p99(300), time.monotonic(), [], 0
    with flood(limited, "203.0.113.8", per_second=100) as statuses:
        while time.monotonic() - begun < SECONDS_LONG:
            half = SLOW_LONG // 2
            with senders(limited, HEAD, half) as bodies, senders(limited, HALF_A_HEAD, half):
                over = time.monotonic() + GONE_SECONDS
                while time.monotonic() < over:
                    busy.append(p99(100))
                    for body in bodies:
                        try:
                            body.send(b"a")
                        except OSError:
                            closed += 1
    record(
        f"G16 {SLOW_LONG} slow senders and a client 100 times over its limit, 1 worker",
        seed=None,
        seconds=time.monotonic() - begun,
        counts={
            "p99 ms without": round(1000 * calm, 1),
            "p99 ms amid them": round(1000 * statistics.median(busy), 1),
            "sends to a closed connection": closed,
            "answered 429": statuses[429],
            "answered otherwise": sum(statuses.values()) - statuses[429],
        },
    )
    assert closed
    assert statistics.median(busy) <= 2 * calm
