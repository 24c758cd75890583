"""G8, X1: hosts are restarted and upgraded one after another, both releases serve meanwhile, and no request fails."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest

from support.backstage import eventually
from support.bed import Bed, BedEhr
from support.evidence import record, setting
from support.next_release import make_release
from support.redeeming import client, good, lay, redeem, refresh
from support.service import http
from support.two_releases import APP, Pair, answered, failed
from support.wire import FORM
from tillit_server.storage.sql_schema import SCHEMA

RESTARTS = 6
REQUESTS = 20


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory for releases and hosts."""
    with tempfile.TemporaryDirectory(prefix="releases-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def pair(bed: Bed, place: Path) -> Iterator[Pair]:
    """Two hosts behind the proxy, with a database of their own."""
    with ExitStack() as closing:
        yield Pair(bed, place, (61, 62), closing)


def rolling(pair: Pair, ehr: BedEhr, rounds: int) -> dict[str, int]:
    """Restart the hosts in turn, under load; what came of it."""
    with pair.load(ehr) as ledger:
        codes = [pair.replace(pair.hosts[number % 2]) for number in range(rounds)]
        assert answered(ledger, REQUESTS)
    return {
        "restarts": rounds,
        "not stopped in good order": sum(code != 0 for code in codes),
        "requests": len(ledger.told),
        "failed": len(failed(ledger)),
    }


def test_g8_x1_hosts_are_restarted_and_no_request_fails(pair: Pair):
    """Each host in turn out of the proxy, stopped, started and in again: every client gets its tokens all the while."""
    with pair.behind() as behind:
        found = rolling(pair, behind.client(), RESTARTS)
    assert found["requests"] > REQUESTS
    assert (found["failed"], found["not stopped in good order"]) == (0, 0), found


@pytest.mark.long
def test_g8_x1_two_hundred_rolling_restarts(pair: Pair):
    """The same two hundred times."""
    begun = time.monotonic()
    with pair.behind() as behind:
        found = rolling(pair, behind.client(), setting("ROLLING_RESTARTS", 200))
    record(
        "rolling restarts of two hosts behind nginx",
        seed=None,
        seconds=time.monotonic() - begun,
        counts=found,
    )
    assert (found["failed"], found["not stopped in good order"]) == (0, 0), found


def written_by(pair: Pair) -> set[str | None]:
    """Which releases say that they wrote a record; None where the writer knew nothing of the column."""
    with psycopg.connect(pair.database) as connection:
        return {row[0] for row in connection.execute("SELECT DISTINCT written_by FROM record").fetchall()}


def crossed(pair: Pair, ehr: BedEhr, behind: object) -> None:
    """What one host has made, the other takes, and the first again: codes, refresh tokens, access tokens."""
    for one, other in (pair.hosts, pair.hosts[::-1]):
        here, there = ehr.at(one), ehr.at(other)
        first = good(redeem(here, lay(behind, here)))
        second = good(refresh(there, first["refresh_token"]))
        token = second.get("refresh_token", first["refresh_token"])
        good(refresh(here, token))
        form = there.form(there.assertion(), grant_type=..., token=token)
        status, _, _ = http(
            "POST",
            other.origin + "/connect/revocation",
            headers={"Content-Type": FORM},
            body=urlencode(form).encode(),
        )
        assert status == 200
        assert refresh(here, token).error == "invalid_grant"


def test_g8_an_upgrade_goes_from_host_to_host_and_no_request_fails(pair: Pair, place: Path):
    """Expanded under load, both releases serve and take what the other made; contracted when the old one is gone, not before."""
    following, last = make_release(2, place / "second"), make_release(3, place / "third")
    first, second = pair.hosts
    with pair.behind() as behind:
        ehr = behind.client()
        person = client(behind)
        assert isinstance(person, BedEhr)
        with pair.load(ehr) as ledger:
            assert first.command_of(following, "migrate", "up").stdout == f"schema {SCHEMA} -> {SCHEMA + 1}\n"
            assert first.command_of(APP, "migrate", "status").returncode == 0
            assert answered(ledger, REQUESTS)
            pair.replace(first, following)
            crossed(pair, person, behind)
            assert answered(ledger, REQUESTS)
            assert {None, "0.2.0"} <= written_by(pair)
            refused = second.command_of(last, "migrate", "up")
            assert (refused.returncode, "is still running" in refused.stderr) == (2, True), refused
            pair.replace(second, following)
            assert answered(ledger, REQUESTS)
    # This process was of the old release, too, and is connected no more.
    with pair.load(ehr) as more:
        contracted = f"schema {SCHEMA + 1} -> {SCHEMA + 2}\n"
        assert eventually(lambda: first.command_of(last, "migrate", "up").stdout == contracted, seconds=30)
        assert answered(more, REQUESTS)
        old = second.command_of(APP, "clients", "list")
        assert (old.returncode, "Start the newer release" in old.stderr) == (2, True), old
        pair.replace(first, last)
        pair.replace(second, last)
        assert answered(more, REQUESTS)
    assert None not in written_by(pair)
    assert failed(ledger) == failed(more) == []
    for host in pair.hosts:
        whole = host.command_of(last, "audit", "verify")
        assert (whole.returncode, whole.stdout.startswith("intact")) == (0, True), whole
