"""K1, G17: two services with a clock each keep one store; ten seconds apart nobody notices, a minute apart somebody does."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jwt
import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.commands import TILLIT, run
from support.ehr import Answer
from support.service import Service, clean_environment, http_json
from tillit.protocol.gate import read_jws
from tillit_server.signing.clocks import ClocksDiffer
from tillit_server.signing.key_moves import Revoke, Rotate

JWKS = "/.well-known/openid-configuration/jwks"
DAY = 86_400
PATIENCE = 40.0
SIGNATURE_ALONE = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
LEEWAY = 10


class Host(Service):
    """Another host of an installation: its own port, log and clock, and the store of the first."""

    def __init__(self, first: Service) -> None:
        super().__init__(first.data, arguments=("--issuer", first.issuer), workers=1)
        self.clock_file = first.data / "clock-of-another-host"
        self.log_file = first.data / "another-host.log"
        self.set_clock()


class EhrAt(SwiftEhr):
    """A client that a proxy sends to one host, and whose clock is that host's."""

    def __init__(self, issuer: str, host: Service, ehr: SwiftEhr) -> None:
        self.host = host
        super().__init__(ehr.service, ehr.client_id, ehr.key)
        self.service = _Seen(issuer, host)

    def send(
        self,
        form: Mapping[str, str] | Sequence[tuple[str, str]] | bytes,
        proof: str | None,
        **more: Any,
    ) -> Answer:
        """Send to this host what is addressed to the issuer."""
        return super().send(form, proof, **{**more, "url": self.host.origin + "/connect/token"})


class _Seen:
    """The installation as it is seen through one host."""

    def __init__(self, issuer: str, host: Service) -> None:
        self.issuer = issuer
        self.now = host.now


def kids_of(tokens: Sequence[str]) -> set[str]:
    """The keys that tokens name."""
    return {str(read_jws(token).header["kid"]) for token in tokens}


class Installation:
    """The two hosts and a client at each."""

    def __init__(self, first: Service, other: Host) -> None:
        self.hosts = (first, other)
        self.base = 0.0
        self.backstage = Backstage(first)
        ehr = self.backstage.client()
        self.ehrs = [EhrAt(first.issuer, host, ehr) for host in self.hosts]
        self.held: list[list[dict[str, Any]]] = []

    def clocks(self, *offsets: float) -> None:
        """Set the clocks, each off by so much."""
        for host, offset in zip(self.hosts, offsets, strict=True):
            host.set_clock(offset=self.base + offset)

    def tokens(self) -> list[str]:
        """A token from each host."""

        def token(ehr: EhrAt) -> str | None:
            answer = ehr.token(details=None, scope=SELF_SERVICE)
            if answer.status == 200:
                return str(answer.json["access_token"])
            ehr.forget_nonce()
            return None

        tokens = [eventually(lambda ehr=ehr: token(ehr), seconds=PATIENCE) for ehr in self.ehrs]
        assert all(tokens)
        return [str(token) for token in tokens]

    def verify(self, tokens: Sequence[str]) -> set[str]:
        """Verify with the key set of each host, and give the keys of the tokens; PyJWT raises if one is not good."""
        for host in self.hosts:
            keys = jwt.PyJWKSet.from_dict(http_json("GET", host.origin + JWKS)[2])
            for token in tokens:
                key = keys[jwt.get_unverified_header(token)["kid"]]
                jwt.decode(token, key, algorithms=["ES256"], options=SIGNATURE_ALONE)
        return kids_of(tokens)

    def publish(self, kids: set[str]) -> bool:
        """Whether each host has heard of these keys; a second of real time, in which none passes here."""
        sets = [http_json("GET", host.origin + JWKS)[2]["keys"] for host in self.hosts]
        return all(kids <= {key["kid"] for key in keys} for keys in sets)

    def doctor(self, host: Service) -> tuple[int, dict[str, str]]:
        """What `keys doctor` says on a host: its exit code, and the verdicts."""
        settings = host.data / f"{host.clock_file.name}.toml"
        settings.write_text(f'dev = true\nclock = "{host.clock_file}"\n', encoding="utf-8")
        command = [TILLIT, "keys", "doctor", "--output", "json", "--data", str(host.data)]
        command += ["--config", str(settings)]
        done = run(command, capture_output=True, text=True, env=clean_environment())
        return done.returncode, {finding["what"]: finding["verdict"] for finding in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two hosts whose keys are a month old."""
    with Service(tmp_path_factory.mktemp("hosts"), workers=1) as first, Host(first) as other:
        both = Installation(first, other)
        both.base = 30.0 * DAY
        both.clocks(0, 0)
        yield both
        both.backstage.close()


@pytest.mark.parametrize("offset", [10, -10])
def test_k1_ten_seconds_apart_no_verification_fails(offset: float, installation: Installation):
    """Before, within and after a rotation, each host's tokens verify with the key set of either, and nothing is told."""
    told = len(installation.backstage.entries("service.clocks.differed"))
    installation.clocks(0, offset)
    before = installation.tokens()
    installation.verify(before)
    changes = installation.backstage.services.signer.change(Rotate("ES256"), operator="test", reason="test")
    assert eventually(lambda: installation.publish({change.ident for change in changes}), seconds=PATIENCE)
    hosts, kids = installation.hosts, set()
    for _ in range(8):  # the two hosts take up the new key ten seconds after one another
        installation.base += 3
        installation.clocks(0, offset)
        tokens = installation.tokens()
        kids |= installation.verify([*before, *tokens])
        assert all(read_jws(token).claims["iat"] <= host.now() + LEEWAY for token in tokens for host in hosts)
    after = installation.verify(installation.tokens())
    assert len(after) == 1
    assert len(kids) == 2
    assert len(installation.backstage.entries("service.clocks.differed")) == told
    # As far again as the next test needs to rotate once more.
    installation.base += 2 * DAY
    installation.clocks(0, 0)


@pytest.mark.parametrize("offset", [61, -61])
def test_k1_a_minute_apart_nobody_changes_keys_and_somebody_is_told(
    offset: float, installation: Installation
):
    """No change on either host, an alarm, a bad verdict; tokens go on, and a stolen key can be ended."""
    backstage = installation.backstage
    told = len(backstage.entries("service.clocks.differed"))
    signer = backstage.services.signer
    installation.clocks(0, offset)
    eventually(lambda: len(backstage.entries("service.clocks.differed")) > told, seconds=PATIENCE)
    (alarm, *more) = backstage.entries("service.clocks.differed")[told:]
    assert not more
    assert abs(alarm.public["seconds"]) == pytest.approx(61, abs=2)
    assert '"clocks differ"' in "".join(host.log() for host in installation.hosts)
    ring = signer.ring()
    with pytest.raises(ClocksDiffer, match="keys revoke --now"):
        signer.change(Rotate("ES256"), operator="test", reason="rehearsal")
    assert signer.ring() == ring
    for host in installation.hosts:
        code, verdicts = installation.doctor(host)
        assert (code, verdicts["clocks"]) == (1, "BAD")
    tokens = installation.tokens()
    (stolen,) = installation.verify(tokens)
    signer.change(Revoke(stolen, at_once=True), operator="test", reason="stolen")
    assert eventually(lambda: stolen not in kids_of(installation.tokens()), seconds=PATIENCE)
    installation.verify(installation.tokens())

    installation.clocks(0, 0)
    installation.base += 2 * DAY
    installation.clocks(0, 0)

    def rotated() -> bool:
        try:
            return bool(signer.change(Rotate("ES256"), operator="test", reason="rehearsal"))
        except ClocksDiffer:
            return False

    assert eventually(rotated, seconds=PATIENCE)
    installation.base += 2 * DAY
    installation.clocks(0, 0)
