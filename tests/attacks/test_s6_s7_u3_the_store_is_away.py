"""S6, S7, U3: while the store cannot write, no token leaves; keys are served; all is well as soon as it can again."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.disks import small_disk
from support.ehr import Answer
from support.load import load, reconcile
from support.service import Service, http
from support.store_faults import FAULTS, NOTHING_WRITTEN, locked_by_a_stranger, over_quota

RECOVERY_SECONDS = 5.0
ANSWER_SECONDS = 1.0
ONE_SERVICE = pytest.mark.xdist_group("store away")
"""For tests of one service, which one process starts for all of them."""
PUBLISHED = ("/.well-known/openid-configuration", "/.well-known/openid-configuration/jwks")


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service of this file's own, whose store is taken away and given back."""
    with Service(tmp_path_factory.mktemp("away") / "data", patience=None) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


@pytest.fixture
def ehr(behind: Backstage) -> SwiftEhr:
    """A client that nobody else uses."""
    return behind.client()


def asked(ehr: SwiftEhr, form: dict[str, str], proof: str) -> tuple[Answer, float]:
    """The answer to a request, and how long it took."""
    begun = time.monotonic()
    answer = ehr.send(form, proof)
    return answer, time.monotonic() - begun


def published(service: Service) -> list[tuple[int, float]]:
    """Status and duration of everything that is published."""
    found = []
    for path in PUBLISHED:
        begun = time.monotonic()
        status, _, _ = http("GET", service.issuer + path)
        found.append((status, time.monotonic() - begun))
    return found


@ONE_SERVICE
@pytest.mark.parametrize("name", FAULTS)
def test_s6_s7_u3_no_store_no_token(name: str, behind: Backstage, ehr: SwiftEhr):
    """503 with Retry-After within a second, keys and metadata as ever; tokens again when it is back."""
    service = behind.service
    form, proof = ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()
    with FAULTS[name](service):
        answer, seconds = asked(ehr, form, proof)
        documents = published(service)
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) in range(1, 10)
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.json) == {"error", "error_description", "error_id"}
    assert seconds < ANSWER_SECONDS + 0.5
    assert all(status == 200 and took < ANSWER_SECONDS for status, took in documents), documents
    if name in NOTHING_WRITTEN:  # then nothing is spent, and nothing has to be made again
        assert eventually(lambda: ehr.send(form, proof).status == 200, seconds=RECOVERY_SECONDS)
        assert len(behind.entries("issuer.token.issued", client_id=ehr.client_id)) == 1
    else:
        assert eventually(lambda: ehr.token(None, scope=SELF_SERVICE).status == 200, seconds=RECOVERY_SECONDS)


@ONE_SERVICE
def test_s6_a_crowd_at_a_locked_store_starves_nobody(behind: Backstage, ehr: SwiftEhr):
    """Fifty requests that wait for the store are all answered 503 in about a second, and do not delay the keys."""
    requests = [(ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()) for _ in range(50)]
    answers: list[tuple[int, float]] = []

    def go(form: dict[str, str], proof: str) -> None:
        answer, seconds = asked(ehr, form, proof)
        answers.append((answer.status, seconds))

    with locked_by_a_stranger(behind.service):
        threads = [threading.Thread(target=go, args=request) for request in requests]
        for thread in threads:
            thread.start()
        documents = published(behind.service)
        for thread in threads:
            thread.join(20)
    assert {status for status, _ in answers} == {503}
    # So many are judged at once in each worker; the others wait for their place first.
    assert max(seconds for _, seconds in answers) < 4 * ANSWER_SECONDS
    assert all(status == 200 and took < ANSWER_SECONDS for status, took in documents), documents


@ONE_SERVICE
def test_u3_s6_s7_no_token_is_out_without_its_entry(behind: Backstage, ehr: SwiftEhr):
    """The store is taken away again and again under load: every token a client holds is in the audit, once."""
    with load(ehr, clients=4) as ledger:
        for fault in (*FAULTS.values(), locked_by_a_stranger, over_quota):
            before = len(ledger.told)
            assert eventually(lambda before=before: ledger.counts[200] and len(ledger.told) > before + 10)
            with fault(behind.service):
                told = ledger.counts[503]
                assert eventually(lambda told=told: ledger.counts[503] > told + 3)
            back = time.monotonic()
            assert eventually(
                lambda back=back: any(told.status == 200 for told in ledger.since(back)),
                seconds=RECOVERY_SECONDS,
            )
    assert set(ledger.counts) == {200, 503}, ledger.counts
    problems = reconcile(ledger, behind, ehr.client_id)
    assert not any(problems.values()), problems


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4, stand_in="the quota above") as place:
        yield place


def test_s7_u3_a_disk_that_is_really_full(disk: Path):
    """On a full disk no token leaves and the keys are served; with room again, tokens within 5 s, without a restart."""
    with Service(disk / "data", patience=None) as service:
        behind = Backstage(service)
        ehr = behind.client()
        filler = disk / "filler"
        with load(ehr, clients=2) as ledger:
            assert eventually(lambda: ledger.counts[200] > 5)
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            assert eventually(lambda: ledger.counts[503] > 5, seconds=10)
            assert all(status == 200 for status, _ in published(service))
            filler.unlink()
            back = time.monotonic()
            assert eventually(
                lambda: any(told.status == 200 for told in ledger.since(back)), seconds=RECOVERY_SECONDS
            )
        assert set(ledger.counts) == {200, 503}, ledger.counts
        problems = reconcile(ledger, behind, ehr.client_id)
        behind.close()
    assert not any(problems.values()), problems
