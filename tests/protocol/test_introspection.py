"""Signed introspection answers: RFC 9701."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import COUNT, values
from support.tokens import INTAKES, ISSUER, NOW, changed, compact, good_claims, good_header, key_for
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import read_jws
from tillit.protocol.introspection import INACTIVE, TYP, check_introspection_jwt, introspection_claims
from tillit.protocol.jose import sign

KEY = key_for()
CALLER = "nhn:phr"
ANSWER = {"active": True, "scope": "nhn:phr/read", "cnf": {"jkt": "x"}, "exp": NOW + 60, "sub": "s"}


def by_hand(header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any) -> str:
    head = {"typ": "token-introspection+jwt", "alg": key.alg, "kid": key.kid}
    payload = {"iss": ISSUER, "aud": CALLER, "iat": NOW, "token_introspection": ANSWER}
    return compact(changed(head, header or {}), changed(payload, changes), key)


def taken(token: str, **more: Any) -> Any:
    given_values: dict[str, Any] = {"keys": [KEY.public], "issuer": ISSUER, "audience": CALLER, "now": NOW}
    return check_introspection_jwt(token, **(given_values | more))


@pytest.mark.parametrize("answer", [ANSWER, INACTIVE])
def test_what_is_signed_is_what_arrives(answer):
    """The caller gets the plain answer, and none of it stands outside its member."""
    claims = introspection_claims(issuer=ISSUER, audience=CALLER, now=NOW, response=answer)
    token = sign({"typ": TYP}, claims, KEY)
    assert taken(token) == answer
    assert INACTIVE == {"active": False}
    jws = read_jws(token)
    assert jws.header["typ"] == "token-introspection+jwt"
    assert sorted(jws.claims) == ["aud", "iat", "iss", "token_introspection"]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"iss": "https://other.example"}, "payload.iss"),
        ({"aud": "other"}, "payload.aud"),
        ({"aud": [CALLER, "other"]}, "payload.aud"),
        ({"aud": ...}, "payload.aud"),
        ({"iat": ...}, "payload.iat"),
        ({"iat": NOW + 11}, "payload.iat"),
        ({"iat": NOW - 71}, "payload.iat"),
        ({"token_introspection": ...}, "payload.token_introspection"),
        ({"token_introspection": "{}"}, "payload.token_introspection"),
        ({"token_introspection": {}}, "payload.token_introspection"),
        ({"token_introspection": {"active": "true"}}, "payload.token_introspection"),
    ],
)
def test_answers_that_are_refused(changes, pointer):
    """An answer of another issuer, to another caller, to an older question, or without content is refused."""
    with pytest.raises(Rejected) as caught:
        taken(by_hand(**changes))
    assert caught.value.pointer == pointer


@pytest.mark.parametrize("changes", [{"aud": [CALLER]}, {"iat": NOW + 10}, {"iat": NOW - 70}, {"jti": "x"}])
def test_answers_that_are_accepted(changes):
    """One audience in an array, the boundaries of time, and claims we do not know."""
    assert taken(by_hand(**changes)) == ANSWER


def test_signature_and_type():
    """Another key, RS256 unless it is named, and another type are refused."""
    rsa = key_for("RS256")
    for token, more in (
        (by_hand(key=key_for("ES256", 1)), {}),
        (by_hand(key=rsa), {"keys": [rsa.public]}),
        (by_hand({"typ": "JWT"}), {}),
        (by_hand({"typ": ...}), {}),
        ("", {}),
    ):
        with pytest.raises(Rejected):
            taken(token, **more)
    assert taken(by_hand({"typ": "application/token-introspection+jwt"}), keys=lambda _: [KEY.public])
    assert taken(by_hand(key=rsa), keys=[rsa.public], algorithms=["RS256"])


def test_j18_an_answer_is_nothing_else():
    """No intake takes an answer for its own kind, and no other kind is an answer."""
    for intake, (_, _, take) in INTAKES.items():
        with pytest.raises((Rejected, OAuthError)):
            take(by_hand())
        with pytest.raises(Rejected):
            taken(compact(good_header(intake), good_claims(intake), KEY))


@COUNT
@given(st.sampled_from(["iss", "aud", "iat", "token_introspection"]), values)
def test_answers_survive_any_claim(name, value):
    """A well-signed answer with any claim changed is accepted or Rejected."""
    try:
        answer: Any = taken(by_hand(**{name: value}))
    except Rejected as refusal:
        answer = refusal
    assert answer
