"""K8: the token with the signing keys is unplugged, slow, or shut: no token without it, and no restart after it.

The token is SoftHSM2's, a directory of files. "Unplugged" means that this directory is renamed while clients ask
on two workers; SoftHSM2 then finds neither objects nor token, as with a device that is gone. "Slow" means that
every signature waits a second inside the call into the module (tests/support/slow_token).
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.backstage import Backstage, SwiftEhr, eventually
from support.load import Ledger, again, load, reconcile
from support.service import Service, http, http_json
from support.softhsm import SoftHsm, make_softhsm
from support.starting import attempt
from tillit.protocol.gate import read_jws

pytestmark = [pytest.mark.hsm, pytest.mark.xdist_group("softhsm")]
RECOVERY_SECONDS = 2.0
JWKS = "/.well-known/openid-configuration/jwks"
PUBLISHED = ("/.well-known/openid-configuration", JWKS)


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """A token for this file's service, and for whoever opens its installation."""
    directory = make_softhsm(tmp_path_factory.mktemp("k8"))
    with directory.configured():
        yield directory.add_token(directory.label)


@pytest.fixture(scope="module")
def settings(hsm: SoftHsm) -> Path:
    """The settings of the installation, for every command."""
    file = hsm.directory / "tillit.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in hsm.settings().items()]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def slowness(hsm: SoftHsm) -> Path:
    """The file that says how slow the token is."""
    file = hsm.directory / "slow"
    file.write_text("0", encoding="ascii")
    return file


@pytest.fixture(scope="module")
def behind(hsm: SoftHsm, settings: Path, slowness: Path) -> Iterator[Backstage]:
    """A service that keeps its keys in the token."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1] / "support" / "slow_token"))
        patch.setenv("SLOW_TOKEN", str(slowness))
        running = Service(hsm.directory / "data", arguments=("--config", str(settings)))
        running.start()
    try:
        opened = Backstage(running, settings)
        yield opened
        opened.close()
    finally:
        running.stop()


@pytest.fixture
def ehr(behind: Backstage) -> SwiftEhr:
    """A client that nobody else uses."""
    return behind.client()


class Reader:
    """Somebody who fetches what is published, over and over."""

    def __init__(self, service: Service) -> None:
        self.seen: list[tuple[int, float]] = []
        self._service, self._over = service, threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _read(self) -> None:
        while not self._over.is_set():
            for path in PUBLISHED:
                begun = time.monotonic()
                status, _, _ = http("GET", self._service.issuer + path)
                self.seen.append((status, time.monotonic() - begun))
            self._over.wait(0.02)

    @property
    def statuses(self) -> set[int]:
        """What was answered."""
        return {status for status, _ in self.seen}


def test_k8_every_published_key_is_in_the_token(
    behind: Backstage, hsm: SoftHsm, settings: Path, ehr: SwiftEhr
):
    """Tokens verify with the published set as ever; `keys list` and `keys doctor` say where the keys are."""
    token = ehr.token().json["access_token"]
    keys = http_json("GET", behind.service.issuer + JWKS)[2]["keys"]
    assert read_jws(token).header["kid"] in {key["kid"] for key in keys}
    where = ("--config", str(settings), "--data", str(behind.service.data))
    dev = {"TILLIT_DEV": "true", "TILLIT_CLOCK": str(behind.service.clock_file)}
    listed = attempt(
        "keys", "list", *where, "--output", "json", output=hsm.directory / "list", environment=dev
    )
    assert {(row["kid"], row["custody"]) for row in json.loads(listed.output)} == {
        (key["kid"], "pkcs11") for key in keys
    }
    doctor = attempt("keys", "doctor", *where, output=hsm.directory / "doctor", environment=dev)
    assert f"its {len(keys)} private keys are those of the ring" in doctor.output
    assert not any(b"sealed:" in file.read_bytes() for file in hsm.tokens.rglob("*.object"))


def unplugged(hsm: SoftHsm, ledger: Ledger) -> float:
    """Take the token away until many have heard of it; the seconds from its return to the first token."""
    hsm.take_away()
    away = time.monotonic()
    try:
        assert eventually(lambda: len([t for t in ledger.since(away) if t.status == 503]) >= 20, seconds=20)
    finally:
        hsm.bring_back()
    back = time.monotonic()
    assert eventually(lambda: [t for t in ledger.since(back) if t.status == 200], seconds=20)
    return min(t.ended for t in ledger.since(back) if t.status == 200) - back


def test_k8_the_token_is_unplugged_under_load(behind: Backstage, hsm: SoftHsm, ehr: SwiftEhr):
    """503 while it is away and nothing half done; keys and metadata as ever; tokens within 2 s, by the same workers."""
    service, workers = behind.service, set(behind.service.worker_pids())
    with Reader(service) as reader, load(ehr, clients=3, pause=0.01) as ledger:
        assert eventually(lambda: ledger.counts[200] >= 10, seconds=20)
        # The best of three: a machine that has much to do is no token that is slow to come back.
        assert any(unplugged(hsm, ledger) <= RECOVERY_SECONDS for _ in range(3))
        settled = time.monotonic() + 1
        assert eventually(lambda: len(ledger.since(settled)) >= 20, seconds=20)
    assert set(ledger.counts) == {200, 503}
    assert {t.status for t in ledger.since(settled)} == {200}
    assert reader.statuses == {200}
    assert set(service.worker_pids()) == workers
    assert again(ehr, next(t for t in ledger.told if t.status == 503)) == 200  # a 503 has spent nothing
    assert not any(reconcile(ledger, behind, ehr.client_id).values())


def test_k8_a_worker_that_dies_while_the_token_is_away_serves_again(
    behind: Backstage, hsm: SoftHsm, ehr: SwiftEhr
):
    """Its successor starts without the token, serves the keys, and signs as soon as the token is there."""
    service = behind.service
    hsm.take_away()
    try:
        killed = set(service.worker_pids())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: len(set(service.worker_pids()) - killed) == len(killed), seconds=15)
        assert eventually(lambda: _status(service) == 200, seconds=15)
        assert ehr.token().status == 503
    finally:
        hsm.bring_back()
    assert eventually(lambda: ehr.token().status == 200)


def _status(service: Service) -> int:
    try:
        return http("GET", service.issuer + JWKS)[0]
    except OSError:
        return 0


def test_k8_a_slow_token_slows_tokens_only(behind: Backstage, slowness: Path, ehr: SwiftEhr):
    """With a second for each signature clients get a token or 503, never a fault; keys and metadata come at once."""
    ehr.token()
    slowness.write_text("1", encoding="ascii")
    try:
        with Reader(behind.service) as reader, load(ehr, clients=16) as ledger:
            begun = time.monotonic()
            assert eventually(lambda: len(ledger.since(begun)) >= 24, seconds=20)
    finally:
        slowness.write_text("0", encoding="ascii")
    assert ledger.counts[200] >= 8
    assert set(ledger.counts) <= {200, 503}
    assert reader.statuses == {200}
    times = sorted(seconds for _, seconds in reader.seen)
    assert times[len(times) // 2] < 0.5  # on a busy machine; alone it is milliseconds
    assert eventually(lambda: ehr.token().status == 200)


def test_k8_revoked_now_its_object_is_destroyed(
    behind: Backstage, hsm: SoftHsm, settings: Path, ehr: SwiftEhr
):
    """`keys revoke --now`: no longer published, no longer in the token; the standby signs on every worker."""
    kid = str(read_jws(ehr.token().json["access_token"]).header["kid"])
    in_token = behind.services.signer._plan.stores[0]
    assert kid in in_token.held().values()
    where = ("--config", str(settings), "--data", str(behind.service.data), "--reason", "test", "--yes")
    dev = {"TILLIT_DEV": "true", "TILLIT_CLOCK": str(behind.service.clock_file)}
    done = attempt("keys", "revoke", kid, "--now", *where, output=hsm.directory / "revoke", environment=dev)
    assert done.code == 0, done.output
    assert kid not in in_token.held().values()

    def signed_by_the_standby() -> bool:
        answers = [ehr.token() for _ in range(6)]
        # A worker that has not looked at the ring yet finds no key in the token any more, and says 503.
        assert {answer.status for answer in answers} <= {200, 503}
        good = [answer for answer in answers if answer.status == 200]
        kids = {read_jws(answer.json["access_token"]).header["kid"] for answer in good}
        assert kid not in kids
        return len(good) == len(answers)

    assert eventually(signed_by_the_standby, seconds=5)


@pytest.mark.parametrize(
    ("break_it", "line"),
    [
        ({"pkcs11_pin_file": "wrong-pin"}, "does not take this PIN (PinIncorrect)"),
        ({"pkcs11_pin_file": "no-pin"}, "there is no PIN file"),
        ({"pkcs11_pin_file": "open-pin"}, "mode 0644 lets others in; run: chmod 600"),
        ({"pkcs11_label": "another"}, "token 'another' does not answer: NoSuchToken"),
        ({"pkcs11_module": "/nowhere.so"}, "/nowhere.so: cannot be used as a PKCS#11 module"),
    ],
)
def test_k8_a_broken_set_up_does_not_start(hsm: SoftHsm, tmp_path: Path, break_it: dict[str, str], line: str):
    """One readable line and exit code 2; the PIN is not in it."""
    for name, content, mode in (("wrong-pin", "31415926", 0o600), ("open-pin", "271828", 0o644)):
        (tmp_path / name).write_text(content, encoding="utf-8")
        (tmp_path / name).chmod(mode)
    file = tmp_path / "tillit.toml"
    if "pkcs11_pin_file" in break_it:
        break_it = {"pkcs11_pin_file": str(tmp_path / break_it["pkcs11_pin_file"])}
    chosen = {**hsm.settings(), **break_it}
    file.write_text("\n".join(f"{n} = {json.dumps(v)}" for n, v in chosen.items()), encoding="utf-8")
    tried = attempt(
        "serve", "--dev", "--data", str(tmp_path / "data"), "--config", str(file), output=tmp_path / "out"
    )
    assert tried.code == 2
    (said,) = tried.output.strip().splitlines()
    assert said.startswith("tillit: refusing to start: ")
    assert line in said
    assert "31415926" not in said
