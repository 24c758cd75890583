"""The signer: every signature verified, nothing private published, the right key at every instant."""

import base64
import itertools
import sys
import threading
import time

import pytest

from tillit.protocol import jose
from tillit.protocol.gate import read_jws
from tillit_server.signing import key_plan, signer
from tillit_server.signing.keyring import NoSigningKey, Policy
from tillit_server.signing.signer import RingUnavailable, SelfCheckFailed, Signer

DAY = 86_400
CLAIMS = {"sub": "a-client", "exp": 1}


@pytest.fixture
def process(records, custody, clock, ticks):
    def start(*algorithms: str, **more) -> Signer:
        return Signer(
            records, custody, clock, more.pop("policy", None), algorithms or ("ES256",), ticks=ticks, **more
        )

    return start


def verified_by(signer_: Signer, token: str, now: float) -> str:
    """The kid of the published key under which the token verifies."""
    return jose.verify(
        read_jws(token), signer_.verification_keys(now), algorithms=("ES256", "EdDSA", "ES384", "RS256")
    ).kid


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "EdDSA"])
def test_a_token_verifies_under_its_published_key(alg: str, process, clock) -> None:
    """Header type, algorithm and kid are as asked for, and the key set verifies the signature."""
    service = process(alg)
    token, kid = service.sign("at+jwt", CLAIMS, alg)
    unverified = read_jws(token)
    assert unverified.header == {"typ": "at+jwt", "alg": alg, "kid": kid}
    assert unverified.claims == CLAIMS
    keys = jose.load_public_jwks(service.jwks(clock()))
    assert jose.verify(unverified, keys, algorithms=(alg,)).kid == kid


def test_rsa_keys_work_too(process, clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """RS256 and PS256 keys are made, sealed, opened and used."""
    made = jose.generate_key
    monkeypatch.setattr(key_plan.KeyPlan.__init__, "__defaults__", (lambda alg: made(alg, rsa_bits=2048),))
    process("RS256")
    service = process("RS256")
    token, kid = service.sign("at+jwt", CLAIMS, "RS256")
    assert verified_by(service, token, clock()) == kid
    assert {key["e"] for key in service.jwks(clock())["keys"]} == {"AQAB"}


def test_an_algorithm_that_is_not_enabled_is_refused(process) -> None:
    """Neither an unknown one nor one that is only in the ring."""
    process("ES256", "EdDSA")
    service = process("ES256")
    for alg in ("EdDSA", "ES384", "none", "HS256", ""):
        with pytest.raises(NoSigningKey):
            service.sign("at+jwt", CLAIMS, alg)
        assert not service.signs(alg)


def test_every_process_flips_at_the_same_instant(process, clock, ticks) -> None:
    """Neither process has to talk to the other, or to the store, to change keys at noon."""
    one, other = process(), process()
    first = one.ring().chain("ES256")[0]
    clock.now = first.retire_from - 0.001
    before = {service.sign("at+jwt", CLAIMS, "ES256")[1] for service in (one, other)}
    clock.now = first.retire_from
    after = {service.sign("at+jwt", CLAIMS, "ES256")[1] for service in (one, other)}
    assert len(before) == len(after) == 1
    assert before != after


def test_a_token_verifies_until_it_dies_over_many_rotations(process, clock, ticks) -> None:
    """The key set at every instant of a token's life has its key; keys signed with were announced 24 h before."""
    service = process(policy=Policy(rotate_after=2 * DAY))
    seen: dict[str, float] = {key["kid"]: 0.0 for key in service.jwks(clock())["keys"]}
    living: list[tuple[str, float]] = []
    for _ in range(300):
        clock.pass_(2999)
        ticks.pass_(10)
        for key in service.jwks(clock())["keys"]:
            seen.setdefault(key["kid"], clock())
        token, kid = service.sign("at+jwt", CLAIMS, "ES256")
        assert clock() - seen[kid] >= DAY
        living = [entry for entry in living if entry[1] > clock()] + [(token, clock() + 3600)]
        for alive, _ in living:
            verified_by(service, alive, clock())
    assert len(service.archive()) > 5


def test_one_process_advances_and_the_other_follows(process, clock, ticks, records) -> None:
    """The standby is announced once, whoever comes by first."""
    told: list = []
    one = process(on_change=lambda *change: told.append(("one", *change)))
    other = process(on_change=lambda *change: told.append(("other", *change)))
    told.clear()
    clock.pass_(89 * DAY)
    ticks.pass_(5)
    sets = [service.jwks(clock())["keys"] for service in (other, one)]
    assert sets[0] == sets[1]
    assert len(sets[0]) == 3
    assert [(who, event) for who, event, *_ in told] == [("other", "signing.key.announced")]
    assert told[0][4] == one.ring().chain("ES256")[-1].active_from


def test_the_audit_hears_every_step_once(process, clock, ticks) -> None:
    """A key's life in the audit: announced, activated, retired, gone, each with its own instant."""
    told: list = []
    services = [process(on_change=lambda *change: told.append(change)) for _ in range(3)]
    first = services[0].ring().chain("ES256")[0]
    for at in (first.retire_from + 5, first.gone_at + 7):
        clock.now = at
        ticks.pass_(5)
        for service in services:
            service.sign("at+jwt", CLAIMS, "ES256")
    assert [(event, at) for event, kid, _, at in told if kid == first.kid] == [
        ("signing.key.announced", first.active_from),
        ("signing.key.activated", first.active_from),
        ("signing.key.retired", first.retire_from),
        ("signing.key.gone", first.gone_at),
    ]


def test_signing_stops_two_seconds_after_the_store_and_the_key_set_does_not(
    process, records, ticks, clock
) -> None:
    """No signature by a key that may have been revoked meanwhile; the key set from the last ring for ever."""
    service = process()
    before = service.jwks(clock())
    records.down = True
    ticks.pass_(1.9)
    service.sign("at+jwt", CLAIMS, "ES256")
    ticks.pass_(0.2)
    with pytest.raises(RingUnavailable):
        service.sign("at+jwt", CLAIMS, "ES256")
    ticks.pass_(10 * DAY)
    assert service.jwks(clock()) == before
    records.down = False
    ticks.pass_(1)
    service.sign("at+jwt", CLAIMS, "ES256")


def test_an_algorithm_enabled_by_a_restart_signs_after_a_day(process, clock, ticks) -> None:
    """In the key set at once, usable 24 h later."""
    process("ES256")
    clock.pass_(100)
    service = process("ES256", "EdDSA")
    assert not service.signs("EdDSA")
    assert sum(key["alg"] == "EdDSA" for key in service.jwks(clock())["keys"]) == 2
    clock.pass_(DAY + 1)
    ticks.pass_(5)
    assert service.signs("EdDSA")


def test_the_key_set_says_how_long_it_may_be_kept(process) -> None:
    """Ten minutes unless the policy says otherwise."""
    assert process().jwks_headers == {"Cache-Control": "public, max-age=600"}
    assert process(policy=Policy(jwks_max_age=60)).jwks_headers == {"Cache-Control": "public, max-age=60"}


# ── K7: what must never leave ──

FAULTS = {
    "first bit": lambda token: _flip(token, 0),
    "last bit": lambda token: _flip(token, -1),
    "any bit": lambda token: _flip(token, 17),
    "zeros": lambda token: _with(token, bytes(64)),
    "empty": lambda token: _with(token, b""),
    "short": lambda token: _with(token, _signature(token)[:-1]),
    "long": lambda token: _with(token, _signature(token) + b"\0"),
    "not base64url": lambda token: token + "!",
    "claims changed": lambda token: ".".join((token.split(".")[0], "e30", token.split(".")[2])),
}


def _signature(token: str) -> bytes:
    part = token.rpartition(".")[2]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _with(token: str, signature: bytes) -> str:
    return token.rpartition(".")[0] + "." + jose.base64url(signature)


def _flip(token: str, at: int) -> str:
    signature = bytearray(_signature(token))
    signature[at] ^= 1
    return _with(token, bytes(signature))


@pytest.mark.parametrize("fault", FAULTS)
def test_k7_a_faulty_signature_never_leaves(fault: str, process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault seeded into the signer is caught, told to the audit, and the error holds nothing of the token."""
    told: list = []
    service = process(on_change=lambda *change: told.append(change))
    bad: list[str] = []
    real = signer.sign

    def faulty(*arguments) -> str:
        bad.append(FAULTS[fault](real(*arguments)))
        return bad[-1]

    monkeypatch.setattr(signer, "sign", faulty)
    told.clear()
    with pytest.raises(SelfCheckFailed) as caught:
        service.sign("at+jwt", {"secret": "personal"}, "ES256")
    kid = service.ring().chain("ES256")[0].kid
    assert [(event, key, alg) for event, key, alg, _ in told] == [
        ("signing.signature.rejected", kid, "ES256")
    ]
    shown = f"{caught.value} {caught.value!r} {caught.value.args} {caught.value.__cause__} {caught.value.__context__}"
    assert not any(part in shown for part in bad[0].split(".") if part)
    monkeypatch.setattr(signer, "sign", real)
    service.sign("at+jwt", CLAIMS, "ES256")


def test_k7_a_flipped_bit_below_the_jose_layer_is_caught(process, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the crypto library itself (RSA-CRT, a bad register) is caught as well."""
    service = process("ES256", "EdDSA")
    real = jose.sign_bytes

    def faulty(data: bytes, key: jose.SigningKey) -> bytes:
        signature = real(data, key)
        return bytes([signature[0] ^ 1]) + signature[1:]

    monkeypatch.setattr(jose, "sign_bytes", faulty)
    for alg in ("ES256", "EdDSA"):
        with pytest.raises(SelfCheckFailed):
            service.sign("at+jwt", CLAIMS, alg)


def test_k7_the_key_set_has_the_right_shape(process, clock, ticks) -> None:
    """Public members only, distinct kids, use sig, an algorithm, at every stage of a rotation."""
    service = process("ES256", "EdDSA", "ES384")
    allowed = {"EC": {"kty", "crv", "x", "y"}, "OKP": {"kty", "crv", "x"}, "RSA": {"kty", "n", "e"}}
    flip = service.ring().chain("ES256")[0].retire_from
    for now in (clock(), flip - DAY, flip - 1, flip, flip + 3600, flip + 3660, flip + 89 * DAY):
        clock.now = now
        ticks.pass_(5)
        document = service.jwks(now)
        assert set(document) == {"keys"}
        kids = [key["kid"] for key in document["keys"]]
        assert len(set(kids)) == len(kids)
        for key in document["keys"]:
            assert set(key) == allowed[key["kty"]] | {"kid", "use", "alg"}
            assert key["use"] == "sig"
            assert key["kid"] == jose.thumbprint(key)
        assert len(jose.load_public_jwks(document)) == len(kids)


def test_k7_a_ring_with_private_members_does_not_publish_them(process, clock) -> None:
    """Whatever got into the public half of an entry, the key set is built from an allow-list."""
    service = process()
    for entry in service.ring().entries:
        entry.public.update(d="x", p="x", k="x")
    assert all(not {"d", "p", "k"} & set(key) for key in service.jwks(clock())["keys"])


def test_threads_sign_with_one_key(process, ticks) -> None:
    """Sixteen threads over a rotation of the ring never see a half-changed state."""
    service = process()
    kids: set[str] = set()
    errors: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                ticks.pass_(0.2)
                kids.add(service.sign("at+jwt", CLAIMS, "ES256")[1])
        except Exception as error:  # noqa: BLE001  (whatever it is, the test must hear of it)
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(kids) == 1


def test_choosing_the_key_is_cheap(process) -> None:
    """Well under 2 µs a signature on a quiet machine; the bound here leaves room for a busy one."""
    service = process()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in itertools.repeat(None, 5000):
            service._key("ES256")
        best = min(best, time.perf_counter() - started)
    assert best / 5000 < (20e-6 if sys.gettrace() else 5e-6)
