"""ID tokens: OpenID Connect Core sections 2 and 3.1.3.7, and the hint of section 3.1.2.1."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import COUNT, values
from support.tokens import CLIENT, INTAKES, ISSUER, NOW, changed, compact, good_claims, good_header, key_for
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.id_token import (
    IdTokenHint,
    check_id_token,
    id_token_claims,
    make_id_token,
    read_hint,
    token_hash,
)

KEY = key_for()
ACCESS_TOKEN = "eyJhdCI6MX0.eyJ4IjoxfQ.AAAA"
NONCE = "n-0S6_WzA2Mj"
SUBJECT = "0kq2Zs1F0m3bB7vQXy6l1C8k5r0uQ1r2o3p4s5t6u7g="
RS = key_for("RS256")


def made(key: Any = KEY, **more: Any) -> str:
    given_claims: dict[str, Any] = {
        "issuer": ISSUER,
        "subject": SUBJECT,
        "client_id": CLIENT,
        "now": NOW,
        "lifetime": 300,
        "nonce": NONCE,
        "auth_time": NOW - 20,
        "access_token": ACCESS_TOKEN,
        "sid": "8F1C",
        "claims": {"amr": ["pwd"], "acr": "Level4"},
    }
    return make_id_token(key, **(given_claims | more))


def by_hand(header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any) -> str:
    payload = {
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": CLIENT,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 300,
        "nonce": NONCE,
        "auth_time": NOW - 20,
        "at_hash": token_hash(ACCESS_TOKEN, key.alg),
        "sid": "8F1C",
    }
    head = {"typ": "JWT", "alg": key.alg, "kid": key.kid}
    return compact(changed(head, header or {}), changed(payload, changes), key)


def taken(token: str, **more: Any) -> Any:
    given_values: dict[str, Any] = {
        "keys": [KEY.public],
        "issuer": ISSUER,
        "client_id": CLIENT,
        "now": NOW,
        "nonce": NONCE,
        "access_token": ACCESS_TOKEN,
    }
    return check_id_token(token, **(given_values | more))


def hint(token: str, **more: Any) -> IdTokenHint:
    return read_hint(token, **({"keys": [KEY.public, RS.public], "issuer": ISSUER} | more))


def test_what_the_issuer_makes_the_client_takes():
    """Both ends agree on every claim."""
    token = taken(made(), max_age=60)
    assert (token.issuer, token.subject, token.client_id) == (ISSUER, SUBJECT, CLIENT)
    assert (token.issued_at, token.expires_at, token.auth_time) == (NOW, NOW + 300, NOW - 20)
    assert (token.sid, token.key, token.claims["acr"]) == ("8F1C", KEY.public, "Level4")
    assert SUBJECT not in repr(token)


def test_what_is_not_there_is_left_out():
    """Without nonce, login time, session and access token the claims are absent, not null."""
    claims = id_token_claims(
        issuer=ISSUER,
        subject=SUBJECT,
        client_id=CLIENT,
        now=NOW + 0.9,
        lifetime=300,
        nonce=None,
        auth_time=None,
        access_token=None,
        algorithm="ES256",
        sid=None,
        claims={},
    )
    assert claims == {"iss": ISSUER, "nbf": NOW, "iat": NOW, "exp": NOW + 300, "aud": CLIENT, "sub": SUBJECT}


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "azp", "exp", "nonce", "at_hash", "sid", "auth_time"])
def test_a_claim_of_the_token_itself(name):
    """What is told about the person cannot speak over what the token says of itself."""
    with pytest.raises(ValueError, match=name):
        made(claims={name: "x"})


@pytest.mark.parametrize(
    ("algorithm", "length"),
    [("ES256", 22), ("PS256", 22), ("RS256", 22), ("ES384", 32), ("PS384", 32), ("ES512", 43), ("EdDSA", 43)],
)
def test_the_hash_is_that_of_the_algorithm(algorithm, length):
    """at_hash is the left half of the hash the signature uses; Ed25519 uses SHA-512."""
    key = key_for(algorithm)
    token = taken(made(key), keys=[key.public], algorithms=[algorithm])
    assert len(token.claims["at_hash"]) == length


def test_the_example_of_the_specification():
    """The at_hash of OpenID Connect Core appendix A.3."""
    access_token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    assert token_hash(access_token, "RS256") == "77QmUPtjPfzWtF2AnpK9RQ"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"iss": "https://other.example"}, "payload.iss"),
        ({"iss": ...}, "payload.iss"),
        ({"iss": [ISSUER]}, "payload.iss"),
        ({"aud": "other"}, "payload.aud"),
        ({"aud": [CLIENT, "other"]}, "payload.aud"),
        ({"aud": []}, "payload.aud"),
        ({"aud": ...}, "payload.aud"),
        ({"azp": "other"}, "payload.aud"),
        ({"exp": NOW - 11}, "payload.exp"),
        ({"exp": ...}, "payload.exp"),
        ({"iat": NOW + 11}, "payload.iat"),
        ({"iat": ...}, "payload.iat"),
        ({"nbf": NOW + 11}, "payload.nbf"),
        ({"nonce": ...}, "payload.nonce"),
        ({"nonce": NONCE + "x"}, "payload.nonce"),
        ({"nonce": [NONCE]}, "payload.nonce"),
        ({"nonce": "å"}, "payload.nonce"),
        ({"at_hash": token_hash("other", "ES256")}, "payload.at_hash"),
        ({"at_hash": None}, "payload.at_hash"),
        ({"sub": ...}, "payload.sub"),
        ({"sub": ""}, "payload.sub"),
        ({"sub": "s" * 256}, "payload.sub"),
        ({"sub": 7}, "payload.sub"),
        ({"auth_time": ...}, "payload.auth_time"),
        ({"auth_time": NOW - 71}, "payload.auth_time"),
        ({"auth_time": NOW + 11}, "payload.auth_time"),
        ({"auth_time": str(NOW)}, "payload.auth_time"),
        ({"sid": 7}, "payload.sid"),
    ],
)
def test_tokens_that_are_refused(changes, pointer):
    """A token of another issuer, client, login, time or access token is refused, and says why."""
    with pytest.raises(Rejected) as caught:
        taken(by_hand(**changes), max_age=60)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [CLIENT]},
        {"azp": CLIENT},
        {"exp": NOW - 10},
        {"iat": NOW + 10},
        {"nbf": ...},
        {"at_hash": ...},
        {"auth_time": NOW - 70},
        {"sid": ...},
    ],
)
def test_tokens_that_are_accepted(changes):
    """One audience in an array, the boundaries of each time, and what is optional."""
    assert taken(by_hand(**changes), max_age=60).subject == SUBJECT


def test_a_refreshed_token_needs_no_nonce():
    """Where the request carried no nonce, none is looked for."""
    assert taken(by_hand(nonce=...), nonce=None).subject == SUBJECT
    assert taken(by_hand(auth_time=...)).auth_time is None


def test_signature_and_algorithm():
    """Another key, RS256 unless it is named, and an unknown key id are refused."""
    for token, more in (
        (by_hand(key=key_for("ES256", 1)), {}),
        (by_hand({"kid": "other"}), {}),
        (by_hand(key=RS), {"keys": [RS.public]}),
        (by_hand().rpartition(".")[0] + ".AAAA", {}),
    ):
        with pytest.raises(Rejected):
            taken(token, **more)
    assert taken(by_hand(key=RS), keys=[RS.public], algorithms=["RS256"]).key == RS.public
    assert taken(by_hand(), keys=lambda jws: [KEY.public] if jws.kid == KEY.kid else []).key == KEY.public


@pytest.mark.parametrize("typ", ["at+jwt", "logout+jwt", "token-introspection+jwt", "jwt", "", None, 7])
def test_j18_other_kinds_are_no_id_tokens(typ):
    """A token of another type is refused by the client and as a hint, whatever its claims."""
    for take in (taken, hint):
        with pytest.raises(Rejected, match="wrong type"):
            take(by_hand({"typ": typ}))


@pytest.mark.parametrize("intake", sorted(INTAKES))
def test_j18_tokens_for_other_intakes_are_no_hints(intake):
    """What is made for another intake is not taken for an ID token."""
    token = compact(good_header(intake), good_claims(intake), KEY)
    for take in (taken, hint):
        with pytest.raises(Rejected):
            take(token)


def test_an_id_token_is_nothing_else():
    """No other intake takes an ID token."""
    for _, _, take in INTAKES.values():
        with pytest.raises((Rejected, OAuthError)):
            take(made())


def test_a_hint_may_be_old():
    """An ID token of ours says whom it was for, years later and whatever it was signed with."""
    expected = IdTokenHint(SUBJECT, CLIENT, "8F1C")
    assert hint(made(now=NOW - 10**8)) == expected
    assert hint(by_hand(key=RS)) == expected
    assert hint(by_hand({"typ": ...}, aud=[CLIENT], sid=...)) == IdTokenHint(SUBJECT, CLIENT, None)
    assert SUBJECT not in repr(expected)


@pytest.mark.parametrize(
    "token",
    [
        by_hand(key=key_for("ES256", 1)),
        by_hand(iss="https://other.example"),
        by_hand(aud=[CLIENT, "other"]),
        by_hand(aud=""),
        by_hand(aud=7),
        by_hand(sub=...),
        by_hand(sid=[]),
        by_hand().rpartition(".")[0] + ".",
        "",
        "x",
        "14857527039",
    ],
)
def test_hints_that_are_refused(token):
    """A hint we did not sign, for nobody or for several, is Rejected and not repeated."""
    with pytest.raises(Rejected) as caught:
        hint(token)
    assert "14857527039" not in f"{caught.value} {caught.value.found}"


@COUNT
@given(
    st.sampled_from(["iss", "sub", "aud", "azp", "exp", "iat", "nonce", "at_hash", "auth_time", "sid"]),
    values,
)
def test_id_tokens_survive_any_claim(name, value):
    """A well-signed token with any claim changed is accepted or Rejected, at both intakes."""
    token = by_hand(**{name: value})
    for take in (taken, hint):
        try:
            answer: Any = take(token)
        except Rejected as refusal:
            answer = refusal
        assert answer
