"""Workers come and go: killed, stopped, replaced one by one, while clients go on asking."""

import http.client
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.evidence import record, setting
from support.load import REMEMBERED_SECONDS, Ledger, ask, load, reconcile
from support.log_lines import lines_of
from support.processes import listeners, processes_of, waiting_for_a_lock
from support.service import STOP_SECONDS, Service, http_json

BROKEN = 0
RESPAWN_SECONDS = 1.0
CLIENTS = 4
RESTART_ROUNDS = setting("RESTART_ROUNDS", 200)
ONE_SERVICE = pytest.mark.xdist_group("mortal")
"""For tests of one service, which one process starts for all of them."""
SHIPPED = Path(__file__).parents[2] / "config"


class Mortal(Service):
    """A service whose processes may be killed; it knows how long a start takes on this machine just now."""

    start_seconds = 0.0

    def start(self) -> None:
        """Start, and take the time."""
        begun = time.monotonic()
        super().start()
        assert eventually(lambda: listeners(self.port) == self.workers)
        self.start_seconds = time.monotonic() - begun

    def replaced(self, old: set[int]) -> bool:
        """Whether every worker listens and none of the old ones is there."""
        pids = set(self.worker_pids())
        return len(pids) == self.workers == listeners(self.port) and not pids & old

    def serves(self) -> bool:
        """Whether the service answers."""
        try:
            return http_json("GET", self.issuer + "/.well-known/openid-configuration", timeout=1)[0] == 200
        except OSError:
            return False

    def rolling_restart(self) -> None:
        """Have every worker replaced, and wait until it has happened."""
        assert self.process is not None
        old = set(self.worker_pids())
        self.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: self.replaced(old), seconds=30)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortal]:
    """A service with two workers; whoever kills some of them waits until others have come."""
    with Mortal(tmp_path_factory.mktemp("mortal")) as running:
        yield running


@pytest.fixture(scope="module")
def behind(mortal: Mortal) -> Iterator[Backstage]:
    """The installation of the mortal service."""
    opened = Backstage(mortal)
    yield opened
    opened.close()


@pytest.fixture
def ehr(behind: Backstage) -> SwiftEhr:
    """A client of the mortal service that nobody else uses."""
    return behind.client()


@ONE_SERVICE
def test_x2_a_worker_killed_under_load(mortal: Mortal, behind: Backstage, ehr: SwiftEhr):
    """Kill -9: the others serve, a new worker comes within a second, and nothing is accepted twice or half."""
    kills = 3
    with load(ehr, clients=CLIENTS) as ledger:
        for _ in range(kills):
            before = len(ledger.told)
            assert eventually(lambda before=before: len(ledger.told) > before + 20)
            victim, killed = mortal.worker_pids()[0], time.monotonic()
            os.kill(victim, signal.SIGKILL)
            assert eventually(lambda victim=victim: mortal.replaced({victim}))
            # A worker is up sooner than a service, so on a busy machine that is the measure.
            assert time.monotonic() - killed < max(RESPAWN_SECONDS, mortal.start_seconds)
            assert any(told.status == 200 for told in ledger.since(killed))
    assert set(ledger.counts) <= {200, BROKEN}
    # What the clients had under way, and what waited to be taken in.
    assert ledger.counts[BROKEN] <= kills * CLIENTS
    problems = reconcile(ledger, behind, ehr.client_id)
    assert not any(problems.values()), problems


@ONE_SERVICE
def test_x2_workers_may_die_together_and_again(mortal: Mortal, ehr: SwiftEhr):
    """Workers that die all at once, and again at once, are replaced; the service never gives up by itself."""
    for number in (signal.SIGKILL, signal.SIGABRT, signal.SIGKILL):
        old = set(mortal.worker_pids())
        for pid in old:
            os.kill(pid, number)
        assert eventually(lambda old=old: mortal.replaced(old), seconds=10)
    assert ehr.token().status == 200


@ONE_SERVICE
def test_x2_u5_a_worker_that_crashes_leaves_no_core(mortal: Mortal):
    """No process of the service writes a core dump, which would hold keys."""
    for pid in processes_of(mortal):
        limits = Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines()
        assert next(line for line in limits if "core file" in line).split()[4:6] == ["0", "0"]


@ONE_SERVICE
def test_workers_share_one_file_and_write_a_chain_each(mortal: Mortal, behind: Backstage, ehr: SwiftEhr):
    """Both workers take part, each with its own chain, in the one SQLite file."""

    def slots() -> set[int]:
        return {entry.slot for entry in behind.entries("issuer.token.issued", client_id=ehr.client_id)}

    with load(ehr, clients=8) as ledger:
        assert eventually(lambda: len(slots()) == mortal.workers, seconds=10)
    assert ledger.counts.keys() == {200}
    problems = reconcile(ledger, behind, ehr.client_id)
    assert not any(problems.values()), problems


@ONE_SERVICE
def test_x1_workers_are_replaced_one_by_one_under_load(mortal: Mortal, behind: Backstage, ehr: SwiftEhr):
    """SIGHUP under load: every worker is new, no request that was taken in fails, and the audit is whole."""
    with load(ehr, clients=CLIENTS, pause=0.01, repeat=True) as ledger:
        mortal.rolling_restart()
    assert_nobody_noticed(ledger, behind, ehr, restarts=1)


@pytest.mark.long
@ONE_SERVICE
def test_x1_two_hundred_rolling_restarts(mortal: Mortal, behind: Backstage, ehr: SwiftEhr):
    """Rolling restarts under load at full length, recorded in the ledger."""
    begun = time.monotonic()
    with load(ehr, clients=CLIENTS, pause=0.02, repeat=True) as ledger:
        for _ in range(RESTART_ROUNDS):
            mortal.rolling_restart()
    answers = {str(status or "closed unasked"): times for status, times in ledger.counts.items()}
    record(
        "X1 rolling restarts under load, 2 workers, SQLite",
        seed=None,
        seconds=time.monotonic() - begun,
        counts={"restarts": RESTART_ROUNDS, **answers, **reconcile(ledger, behind, ehr.client_id)},
    )
    assert_nobody_noticed(ledger, behind, ehr, restarts=RESTART_ROUNDS)


def assert_nobody_noticed(ledger: Ledger, behind: Backstage, ehr: SwiftEhr, *, restarts: int) -> None:
    """Only tokens; at worst a new connection was closed before the server had read a thing of it."""
    assert set(ledger.counts) <= {200, BROKEN}, ledger.counts
    assert ledger.counts[BROKEN] <= restarts
    problems = reconcile(ledger, behind, ehr.client_id)
    assert not any(problems.values()), problems
    recent = ledger.since(time.monotonic() - REMEMBERED_SECONDS)
    unasked = [told.assertion_jti for told in recent if told.status == BROKEN]
    assert not any(behind.services.store.seen("assertion", f"{ehr.client_id} {jti}") for jti in unasked)


@ONE_SERVICE
def test_x6_the_servers_own_lines_are_like_ours(mortal: Mortal):
    """What supervisor and production server say of workers that die and are replaced is one JSON object a line."""
    victim = mortal.worker_pids()[0]
    os.kill(victim, signal.SIGSEGV)
    assert eventually(lambda: mortal.replaced({victim}))
    entries = lines_of(mortal.log())
    assert entries[0]["message"] == "serving"
    assert {"tillit.serving", "_granian"} <= {entry["logger"] for entry in entries}


@ONE_SERVICE
def test_a_second_service_on_the_same_port_is_refused(mortal: Mortal, tmp_path: Path):
    """Workers share a port, so a stranger could too: a second service ends at once and takes no request."""
    port = str(mortal.port)
    second = mortal.cli("serve", "--dev", "--data", str(tmp_path / "other"), "--port", port, check=False)
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].endswith("cannot be used (Address already in use)")
    assert "Traceback" not in second.stderr
    assert not (tmp_path / "other").exists()
    assert mortal.serves()


def test_x1_told_to_stop_whatever_is_going_on(tmp_path: Path):
    """SIGTERM ends the service within 10 s with nothing left: amid requests, amid a start, without a supervisor."""
    requests_under_way_are_answered(Mortal(tmp_path / "stopped"))
    service = Mortal(tmp_path / "stopped", workers=1)
    workers_that_load_hear_it(service)
    workers_do_not_outlive_their_supervisor(service)


def requests_under_way_are_answered(service: Mortal) -> None:
    """Who was being judged when the service was told to stop gets the whole answer."""
    service.start()
    assert service.process is not None
    behind = Backstage(service)
    ehr, told = behind.client(), Ledger()
    ehr.nonce()
    lines = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=10) for _ in range(8)]
    threads = [threading.Thread(target=lambda line=line: told.told.append(ask(ehr, line))) for line in lines]
    turn = behind.services.store._store._turn
    turn.acquire()  # Nobody can settle now, so requests are surely under way.
    for thread in threads:
        thread.start()
    assert eventually(lambda: waiting_for_a_lock(service) >= 1)
    group, begun = service.process.pid, time.monotonic()
    service.process.send_signal(signal.SIGTERM)
    assert eventually(lambda: listeners(service.port) == 0)
    turn.release()
    assert service.process.wait(STOP_SECONDS) == 0
    service.process = None
    assert time.monotonic() - begun < 10
    for thread in threads:
        thread.join(20)
    assert told.counts == {200: len(lines)}
    assert processes_of(group) == []
    problems = reconcile(told, behind, ehr.client_id)
    assert not any(problems.values()), problems
    behind.close()


def workers_that_load_hear_it(service: Mortal) -> None:
    """A stop is heard by workers that are still being built."""
    service.start()
    assert service.process is not None
    group, old = service.process.pid, set(service.worker_pids())
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    assert eventually(
        lambda: len(service.worker_pids()) == service.workers and not old & set(service.worker_pids())
    )
    begun = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - begun < 5
    assert processes_of(group) == []


def workers_do_not_outlive_their_supervisor(service: Mortal) -> None:
    """A supervisor that is killed leaves no worker that holds the port."""
    service.start()
    assert service.process is not None
    group = service.process.pid
    os.kill(group, signal.SIGKILL)
    service.process.wait(STOP_SECONDS)
    assert eventually(lambda: not processes_of(group), seconds=10)
    assert listeners(service.port) == 0
    service.process = None


def test_a_broken_configuration_does_not_take_the_service_down(tmp_path: Path):
    """A rolling restart onto a configuration that is broken keeps the workers that serve."""
    config, settings = tmp_path / "config", tmp_path / "tillit.toml"
    for name in ("apis", "clients", "registers"):
        shutil.copytree(SHIPPED / name, config / name)
    settings.write_text(f'config = "{config}"\n', encoding="utf-8")
    with Mortal(tmp_path / "data", arguments=["--config", str(settings)]) as service:
        assert service.process is not None
        (config / "apis" / "development.toml").write_text("[[api]\n", encoding="utf-8")
        service.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: "the old one goes on" in service.log(), seconds=15)
        assert service.serves()
        assert len(service.worker_pids()) == service.workers
        assert "Traceback" not in service.log()
