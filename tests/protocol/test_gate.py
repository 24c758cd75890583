"""The gate: rows J1, J4 to J7, J14 and J17, at every intake, before any signature is looked at."""

import json
from typing import Any

import pytest

from support.timing import least_cpu
from support.tokens import INTAKES, b64, compact, good_claims, good_header, key_for
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import sign

REFUSED = (Rejected, OAuthError)
EVERY_INTAKE = pytest.mark.parametrize("intake", INTAKES)


def take(intake: str, token: str) -> Any:
    return INTAKES[intake][2](token)


@EVERY_INTAKE
def test_a_good_token_is_taken(intake):
    """What every other test changes in one place is accepted as it stands."""
    take(intake, compact(good_header(intake), good_claims(intake), key_for()))


@EVERY_INTAKE
@pytest.mark.parametrize("alg", ["none", "None", "nOnE", "", None, 1, ..., "es256"])
@pytest.mark.parametrize("signed", [True, False])
def test_j1_no_unsigned_or_unknown_algorithm(intake, alg, signed):
    """A token without a known signature algorithm is refused, whatever stands where the signature is."""
    token = compact(good_header(intake, alg=alg), good_claims(intake), key_for() if signed else None)
    with pytest.raises(REFUSED):
        take(intake, token)
    with pytest.raises(REFUSED):
        take(intake, f"{token.rpartition('.')[0]}.")


@EVERY_INTAKE
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_j4_no_key_brought_along(intake, member, monkeypatch):
    """A key or an address of one in the header is refused, and nobody connects anywhere."""
    connections: list[object] = []
    monkeypatch.setattr("socket.socket.connect", lambda *a: connections.append(a))
    attacker = key_for("ES256", 1)
    value = {
        "jwk": attacker.public.bare_jwk,
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
    }[member]
    for signer in (attacker, key_for()):  # refused also when the signature is the right one
        token = compact(good_header(intake, **{member: value}), good_claims(intake), signer)
        if (intake, member, signer) == ("DPoP proof", "jwk", attacker):
            take(intake, token)  # the one place where a key belongs: it proves possession of itself
        else:
            with pytest.raises(REFUSED):
                take(intake, token)
    assert connections == []


@pytest.mark.parametrize(
    "kid", ["../../dev/null\n", "' OR 1=1--\x07", "a\u0000b", "k" * 10_000, 7, [], {}, "", None, True]
)
def test_j5_key_id_is_a_short_printable_string(kid):
    """A kid that is no short printable string is refused by the gate."""
    with pytest.raises(Rejected):
        read_jws(compact({"alg": "ES256", "kid": kid}, {}))


@pytest.mark.parametrize("intake", [name for name in INTAKES if name != "DPoP proof"])  # brings its key
@pytest.mark.parametrize("kid", ["../../dev/null", "' OR 1=1--", "unknown"])
def test_j5_an_unknown_key_id_finds_no_key(intake, kid):
    """A kid is compared and nothing else, so path and SQL tricks name just another unknown key."""
    with pytest.raises(REFUSED, match=r"key id|Client authentication|invalid_client"):
        take(intake, compact(good_header(intake, kid=kid), good_claims(intake), key_for()))


@EVERY_INTAKE
@pytest.mark.parametrize("crit", [["bork"], [], ["alg"], ["exp"], "b64", ["b64", "b64"], ["absent"], None])
def test_j6_no_critical_extension(intake, crit):
    """We support no extension, so any crit is refused, even an empty one."""
    header = good_header(intake, crit=crit, bork=1, exp=1)
    with pytest.raises(REFUSED):
        take(intake, compact(header, good_claims(intake), key_for()))


@EVERY_INTAKE
@pytest.mark.parametrize("changes", [{"b64": False}, {"b64": True}, {"b64": False, "crit": ["b64"]}])
def test_j7_no_unencoded_payload(intake, changes):
    """RFC 7797 is not spoken: b64 is refused with and without crit."""
    with pytest.raises(REFUSED):
        take(intake, compact(good_header(intake, **changes), good_claims(intake), key_for()))


@EVERY_INTAKE
def test_j7_no_detached_or_raw_payload(intake):
    """A payload that is elsewhere, or not encoded, is refused."""
    head, _, signature = compact(good_header(intake), good_claims(intake), key_for()).split(".")
    for payload in ("", '{"iss":"x"}'):
        with pytest.raises(REFUSED):
            take(intake, f"{head}.{payload}.{signature}")


GOOD = compact({"alg": "ES256"}, {"a": 1})


@pytest.mark.parametrize(
    "token",
    [
        json.dumps({"payload": "e30", "signatures": [{"protected": "e30", "signature": "AAAA"}]}),
        json.dumps({"protected": "e30", "payload": "e30", "signature": "AAAA"}),
        "e30.e30.e30.e30.e30",
        "e30",
        "e30.e30",
        "e30.e30.e30.e30",
        "",
        ".",
        "..",
        f"{GOOD}.",
        f".{GOOD}",
        f" {GOOD}",
        f"{GOOD}\n",
        compact({"alg": "ES256", "cty": "JWT"}, GOOD.encode()),
        compact({"alg": "ES256"}, []),
        compact({"alg": "ES256"}, "text"),
        compact([], {}),
        "é" + GOOD,
    ],
)
def test_j14_only_three_parts_in_compact_form(token):
    """JSON serialization, JWE, nested tokens and other numbers of parts are refused."""
    with pytest.raises(Rejected):
        read_jws(token)


@EVERY_INTAKE
@pytest.mark.parametrize(
    "header",
    [
        {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": "AAAA"},
        {"alg": "RSA1_5", "enc": "A128GCM"},
        {"alg": "dir", "enc": "A128GCM", "zip": "DEF"},
        {"alg": "ECDH-ES", "enc": "A128GCM", "epk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
        {"alg": "ES256", "enc": "A128GCM"},
        {"alg": "ES256", "zip": "DEF"},
    ],
)
def test_j17_no_encrypted_token_at_any_intake(intake, header):
    """Nothing is decrypted, inflated or derived: JWE is refused in under 10 ms, also in three parts."""
    for token in (f"{b64(json.dumps(header).encode())}.AAAA.AAAA.AAAA.AAAA", compact(header, {})):

        def refused(token: str = token) -> None:
            with pytest.raises(REFUSED):
                take(intake, token)

        assert least_cpu(refused, tries=3) < 0.01


@EVERY_INTAKE
@pytest.mark.parametrize("member", ["zip", "enc", "epk", "p2c", "p2s", "apu", "apv", "iv", "tag"])
def test_j17_no_member_of_encryption_in_a_signed_token(intake, member):
    """A good token is refused for any header member that only encryption has."""
    with pytest.raises(REFUSED):
        take(intake, compact(good_header(intake, **{member: "DEF"}), good_claims(intake), key_for()))


def test_signing_input_is_the_octets_received():
    """What is verified is what arrived, never a form written anew."""
    token = sign({"typ": "JWT"}, {"a": 1}, key_for())
    jws = read_jws(token)
    assert jws.signing_input == token.rpartition(".")[0].encode()
    assert read_jws(token.encode()) == jws


def test_a_header_is_shared_and_so_cannot_be_changed():
    """Headers are read once per key; nobody can write into one that others see."""
    header: Any = read_jws(GOOD).header
    with pytest.raises(TypeError):
        header["alg"] = "none"
