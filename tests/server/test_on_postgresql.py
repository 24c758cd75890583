"""A service of two hosts: what lasts is on a PostgreSQL server, what is short-lived on a Redis server."""

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.ehr import Answer
from support.postgres import Postgres
from support.redis_server import redis_server
from support.service import Service, http_json, run_cli

ANSWER_SECONDS = 1.0
RECOVERY_SECONDS = 2.0
JWKS = "/.well-known/openid-configuration/jwks"


def settings_file(path: Path, url: str, shared_url: str) -> Path:
    """Settings of a development installation on a database and a Redis server."""
    lines = ("dev = true", f'storage_url = "{url}"', f'storage_shared_url = "{shared_url}"')
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@dataclass
class Hosts:
    """Two hosts with data directories of their own, one database, one master key, one issuer."""

    postgres: Postgres
    settings: Path
    first: Service
    second: Service
    backstage: Backstage

    def elsewhere(self, ehr: SwiftEhr) -> Answer:
        """What the second host says to a good request for a token."""
        answer = ehr.send(ehr.form(), ehr.proof(), url=self.second.origin + "/connect/token")
        assert isinstance(answer, Answer)
        return answer


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Both hosts up, and a database server of this file's own, that writes to disk as one should."""
    home = tmp_path_factory.mktemp("hosts")
    with ExitStack() as stack:
        server = stack.enter_context(Postgres())
        shared = stack.enter_context(redis_server()).url
        settings = settings_file(home / "tillit.toml", server.migrated_database(), shared)
        options = ("--config", str(settings))
        with Service(home / "first", arguments=options, patience=None) as first:
            second = Service(
                home / "second", workers=1, arguments=(*options, "--issuer", first.issuer), patience=None
            )
            shutil.copytree(first.data / "keys", second.data / "keys")
            with second:
                backstage = Backstage(first, settings)
                yield Hosts(server, settings, first, second, backstage)
                backstage.close()


def test_tokens_are_issued_and_the_audit_is_whole(hosts: Hosts):
    """A token from either host, each with its entry, and every chain intact."""
    ehr = hosts.backstage.client()
    assert ehr.token().status == 200
    assert hosts.elsewhere(ehr).status == 200

    entries = hosts.backstage.entries("issuer.token.issued", client_id=ehr.client_id)
    assert len(entries) == 2
    assert len({entry.slot for entry in entries}) == 2
    done = run_cli("audit", "verify", "--config", str(hosts.settings), "--data", str(hosts.first.data))
    assert done.stdout.startswith("intact")


def test_hosts_share_keys_and_clients(hosts: Hosts):
    """One key set for all, and a client disabled behind one host gets nothing from the other."""
    ehr = hosts.backstage.client()
    sets = [http_json("GET", host.origin + JWKS)[2] for host in (hosts.first, hosts.second)]
    assert sets[0] == sets[1]
    assert hosts.elsewhere(ehr).status == 200
    hosts.backstage.set_disabled(ehr.client_id, disabled=True)

    assert eventually(lambda: hosts.elsewhere(ehr).error == "invalid_client")


def test_one_assertion_is_good_at_one_host_once(hosts: Hosts):
    """The same request sent to both hosts at the same moment, many times over: exactly one token each time."""
    ehr = hosts.backstage.client()
    requests = [(ehr.form(), ehr.proof()) for _ in range(5)]
    for form, proof in requests:
        start = threading.Barrier(8)

        def send(origin: str, form=form, proof=proof, start=start) -> int:
            start.wait()
            return ehr.send(form, proof, url=origin + "/connect/token").status

        with ThreadPoolExecutor(8) as crowd:
            statuses = list(crowd.map(send, [hosts.first.origin, hosts.second.origin] * 4))
        assert statuses.count(200) == 1
        assert set(statuses) <= {200, 400, 401}
    assert len(hosts.backstage.entries("issuer.token.issued", client_id=ehr.client_id)) == len(requests)


def stopped(server: Postgres, how: signal.Signals) -> Callable[[], None]:
    """Stop the server; what is returned starts it again."""
    server.stop(how)
    return server.start


FAULTS = {"stopped": signal.SIGINT, "killed": signal.SIGKILL, "frozen": signal.SIGSTOP}


@pytest.mark.parametrize("fault", FAULTS)
def test_without_the_database_no_token_and_keys_all_the_same(hosts: Hosts, fault: str):
    """Every answer comes within a second: 503, or the key set. When it is back, so are tokens; nothing is lost."""
    ehr = hosts.backstage.client()
    assert ehr.token().status == 200
    # One for each time: what the database could not write has spent its ids nevertheless.
    requests = [(ehr.form(), ehr.proof()) for _ in range(4)]
    if fault == "frozen":
        frozen = hosts.postgres.frozen()
        frozen.__enter__()
        back = lambda: frozen.__exit__(None, None, None)  # noqa: E731 (the other branch has a function)
    else:
        back = stopped(hosts.postgres, FAULTS[fault])
    waits: list[float] = []
    for form, proof in requests:
        begun = time.monotonic()
        answer = ehr.send(form, proof)
        waits.append(time.monotonic() - begun)
        assert answer.status == 503, answer.body
        begun = time.monotonic()
        assert http_json("GET", hosts.first.origin + JWKS)[0] == 200
        waits.append(time.monotonic() - begun)
    back()
    begun = time.monotonic()
    assert eventually(lambda: ehr.token().status == 200, seconds=20)
    recovery = time.monotonic() - begun

    # The clock of a machine that does other things too; the median says what is usual.
    assert sorted(waits)[len(waits) // 2] < ANSWER_SECONDS
    assert recovery < RECOVERY_SECONDS
    done = run_cli("audit", "verify", "--config", str(hosts.settings), "--data", str(hosts.first.data))
    assert done.stdout.startswith("intact")


def test_a_database_without_our_schema_is_not_started_on(hosts: Hosts, tmp_path: Path):
    """One line that names the command; after the command, it starts."""
    settings = settings_file(tmp_path / "tillit.toml", hosts.postgres.new_database(), "embedded")
    where = ("--config", str(settings), "--data", str(tmp_path / "data"))
    refused = run_cli("clients", "list", *where, check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "tillit migrate up" in refused.stderr
    assert run_cli("migrate", "status", *where, check=False).returncode == 1

    assert run_cli("migrate", "up", *where).stdout == "schema 0 -> 1\n"
    assert run_cli("migrate", "up", *where).stdout == "schema 1\n"
    assert "usable" in run_cli("migrate", "status", *where).stdout
    run_cli("clients", "list", *where)
