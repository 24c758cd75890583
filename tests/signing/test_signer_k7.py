"""K7: what must never leave the signer: a signature that does not verify, a private member, an odd key set."""

import base64

import pytest

from tillit.protocol import jose
from tillit_server.signing import signer
from tillit_server.signing.signer import SelfCheckFailed

DAY = 86_400
CLAIMS = {"sub": "a-client", "exp": 1}

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
def test_k7_a_faulty_signature_never_leaves(
    fault: str, start_signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault seeded into the signer is caught, told to the audit, and the error holds nothing of the token."""
    told: list = []
    service = start_signer(on_change=lambda *change: told.append(change))
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


def test_k7_a_flipped_bit_below_the_jose_layer_is_caught(
    start_signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of the crypto library itself (RSA-CRT, a bad register) is caught as well."""
    service = start_signer("ES256", "EdDSA")
    real = jose.sign_bytes

    def faulty(data: bytes, key: jose.SigningKey) -> bytes:
        signature = real(data, key)
        return bytes([signature[0] ^ 1]) + signature[1:]

    monkeypatch.setattr(jose, "sign_bytes", faulty)
    for alg in ("ES256", "EdDSA"):
        with pytest.raises(SelfCheckFailed):
            service.sign("at+jwt", CLAIMS, alg)


def test_k7_the_key_set_has_the_right_shape(start_signer, clock, ticks) -> None:
    """Public members only, distinct kids, use sig, an algorithm, at every stage of a rotation."""
    service = start_signer("ES256", "EdDSA", "ES384")
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


def test_k7_a_ring_with_private_members_does_not_publish_them(start_signer, clock) -> None:
    """Whatever got into the public half of an entry, the key set is built from an allow-list."""
    service = start_signer()
    for entry in service.ring().entries:
        entry.public.update(d="x", p="x", k="x")
    assert all(not {"d", "p", "k"} & set(key) for key in service.jwks(clock())["keys"])
