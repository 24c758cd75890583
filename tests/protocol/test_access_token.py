"""Access tokens: both ends, and no other kind of token in their place (row J18 for the kinds of this room)."""

from typing import Any

import pytest

from support.tokens import (
    AUDIENCE,
    CLIENT,
    INTAKES,
    ISSUER,
    NOW,
    access_claims,
    compact,
    good_claims,
    good_header,
    key_for,
)
from tillit.protocol.access_token import TYP, access_token_claims, check_access_token
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import MAX_ASSERTION_BYTES, UnverifiedJWS, read_jws
from tillit.protocol.jose import PublicKey, sign

KEY = key_for()


def make(**changes: Any) -> tuple[str, dict[str, Any]]:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "subject": CLIENT,
        "audience": AUDIENCE,
        "client_id": CLIENT,
        "scope": ("nhn:phr/read", "nhn:phr/write"),
        "now": NOW + 0.7,
        "lifetime": 600,
        "jkt": "thumb",
        "claims": {"client_amr": "private_key_jwt", "x": {"y": [1]}},
    }
    payload = access_token_claims(**(given | changes))
    return sign({"typ": TYP}, payload, KEY), payload


def check(token: str, *, now: float = NOW, **more: Any) -> Any:
    given = {"keys": [KEY.public], "issuer": ISSUER, "audience": AUDIENCE, "now": now}
    return check_access_token(token, **(given | more))


def by_hand(header: dict[str, Any] | None = None, **changes: Any) -> str:
    return compact(
        {"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid} | (header or {}), access_claims(**changes), KEY
    )


def test_a_token_we_make_is_a_token_we_take():
    """Both ends agree on every member."""
    token, payload = make(jti="J")
    taken = check(token)
    assert (taken.issuer, taken.subject, taken.audience, taken.client_id) == (
        ISSUER,
        CLIENT,
        AUDIENCE,
        CLIENT,
    )
    assert (taken.issued_at, taken.expires_at, taken.jti, taken.jkt) == (NOW, NOW + 600, "J", "thumb")
    assert (taken.scope, taken.key) == (("nhn:phr/read", "nhn:phr/write"), KEY.public)
    assert taken.claims == payload
    assert read_jws(token).header == {"typ": "at+jwt", "alg": "ES256", "kid": KEY.kid}


def test_what_a_token_contains():
    """Scope is an array, nbf is iat, cnf is the thumbprint alone, and jti is new each time."""
    payload = make()[1]
    assert payload["scope"] == ["nhn:phr/read", "nhn:phr/write"]
    assert payload["nbf"] == payload["iat"] == NOW
    assert payload["cnf"] == {"jkt": "thumb"}
    assert payload["x"] == {"y": [1]}
    assert len(payload["jti"]) == 32
    assert payload["jti"] != make()[1]["jti"]
    assert "cnf" not in make(jkt=None)[1]
    assert check(make(jkt=None)[0]).jkt is None


@pytest.mark.parametrize(
    "name", ["iss", "sub", "aud", "client_id", "scope", "iat", "nbf", "exp", "jti", "cnf"]
)
def test_further_claims_cannot_speak_over_our_own(name):
    """A claim the token writes itself may not come in from outside."""
    with pytest.raises(ValueError, match=name):
        make(claims={name: "x"})


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"iss": "https://other.example"}, "payload.iss"),
        ({"iss": [ISSUER]}, "payload.iss"),
        ({"iss": f"{ISSUER}/"}, "payload.iss"),
        ({"aud": "nhn:other"}, "payload.aud"),
        ({"aud": [AUDIENCE]}, "payload.aud"),
        ({"aud": [AUDIENCE, "nhn:other"]}, "payload.aud"),
        ({"aud": ...}, "payload.aud"),
        ({"exp": NOW - 11}, "payload.exp"),
        ({"exp": ...}, "payload.exp"),
        ({"exp": NOW * 1000}, "payload.exp"),
        ({"iat": ...}, "payload.iat"),
        ({"iat": NOW + 11}, "payload.iat"),
        ({"nbf": NOW + 11}, "payload.nbf"),
        ({"sub": ...}, "payload.sub"),
        ({"client_id": 7}, "payload.client_id"),
        ({"jti": ""}, "payload.jti"),
        ({"scope": {"a": 1}}, "payload.scope"),
        ({"scope": ["a", 1]}, "payload.scope"),
        ({"scope": 'a"b'}, "scope"),
        ({"cnf": None}, "payload.cnf"),
        ({"cnf": {}}, "payload.cnf"),
        ({"cnf": {"jkt": ""}}, "payload.cnf"),
        ({"cnf": {"x5t#S256": "x"}}, "payload.cnf"),
        ({"cnf": {"jkt": "x", "x5t#S256": "x"}}, "payload.cnf"),
    ],
)
def test_tokens_that_are_refused(changes, pointer):
    """Another issuer, audience or time, or a claim that is not what it should be, is refused by name."""
    with pytest.raises(Rejected) as refusal:
        check(by_hand(**changes))
    assert refusal.value.pointer == pointer


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW - 10},
        {"iat": NOW + 10, "nbf": NOW + 10},
        {"nbf": ...},
        {"scope": "a b"},
        {"scope": ...},
        {"cnf": ...},
        {"more": 1},
    ],
)
def test_tokens_that_are_accepted(changes):
    """Boundaries of the leeway, a scope as a string and further claims are accepted."""
    assert check(by_hand(**changes)).client_id == CLIENT


def test_the_leeway_is_the_callers():
    """A caller may set the leeway, down to none."""
    token = make()[0]
    assert check(token, now=NOW + 600, leeway=0)
    for now in (NOW + 600.5, NOW - 1):
        with pytest.raises(Rejected):
            check(token, now=now, leeway=0)


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt"])
def test_types_that_are_accepted(typ):
    """RFC 9068 section 4 names both spellings."""
    assert check(by_hand({"typ": typ}))


def test_keys_may_be_looked_for():
    """A function is given the unverified token, so that it can look for the kid."""
    asked: list[str | None] = []

    def find(jws: UnverifiedJWS) -> list[PublicKey]:
        asked.append(jws.kid)
        return [KEY.public]

    assert check(make()[0], keys=find).key == KEY.public
    assert asked == [KEY.kid]
    with pytest.raises(Rejected, match="no key"):
        check(make()[0], keys=[])


def test_keys_are_not_looked_for_in_vain():
    """A token for somebody else is refused before anyone asks for keys."""

    def find(_: UnverifiedJWS) -> list[PublicKey]:
        raise AssertionError("asked for keys")

    for changes in ({"iss": "https://other.example"}, {"aud": "nhn:other"}):
        with pytest.raises(Rejected):
            check(by_hand(**changes), keys=find)
    with pytest.raises(Rejected):
        check(by_hand({"typ": "JWT"}), keys=find)


def test_the_size_of_a_token():
    """A token with a long attestation passes; the limit is the caller's."""
    token = make(claims={"x": "y" * 12_000})[0]
    assert len(token) < MAX_ASSERTION_BYTES
    assert check(token)
    with pytest.raises(Rejected, match="too large"):
        check(token, max_bytes=8192)


@pytest.mark.parametrize("kind", INTAKES)
@pytest.mark.parametrize("intake", INTAKES)
def test_j18_one_kind_in_place_of_another(kind, intake):
    """A good token of one kind is taken at its own intake only, even with the claims of both."""
    claims = good_claims(intake) | good_claims(kind)
    for payload in (good_claims(kind), claims, good_claims(kind) | good_claims(intake)):
        token = compact(good_header(kind), payload, key_for())
        if kind == intake:
            assert INTAKES[intake][2](token)
        else:
            with pytest.raises((Rejected, OAuthError)):
                INTAKES[intake][2](token)


def test_nothing_personal_is_shown():
    """Subject and claims of a token are not part of its representation."""
    taken = check(make(subject="someone", claims={"helseid://claims/identity/pid": "13819012304"})[0])
    assert "13819012304" not in repr(taken)
    assert "someone" not in repr(taken)
