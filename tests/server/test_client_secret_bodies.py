"""Self-service and bodies of every kind: nothing but a sound new key is ever registered, and no body is a fault."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.backstage import Backstage
from support.self_service import PROBLEM, KeyOwner
from tillit.protocol.jose import generate_key

KEY = generate_key("ES256", "offered").public
NAMES = ("kty", "crv", "x", "y", "n", "e", "d", "k", "use", "kid", "alg", "key_ops", "x5c", "exp", "origin")
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.text(max_size=40),
    st.lists(st.text(max_size=3), max_size=3),
)


@st.composite
def broken_keys(draw: st.DrawFn) -> dict[str, Any]:
    """A good JWK with one or two members put in, taken out or replaced; never good again."""
    jwk: dict[str, Any] = dict(KEY.jwk)
    jwk.pop(draw(st.sampled_from(("kty", "crv", "x", "y"))))
    return {**jwk, **draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=2))}


BODIES = st.one_of(
    st.binary(max_size=200),
    broken_keys().map(lambda jwk: json.dumps(jwk).encode()),
    broken_keys().map(lambda jwk: json.dumps(json.dumps(jwk)).encode()),
    st.recursive(
        VALUES,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(1, 3000).map(lambda depth: b"[" * depth + b"]" * depth),
    st.just(b'{"kty":"EC","kty":"EC"}'),
)


def test_no_body_but_a_key_is_taken(backstage: Backstage):
    """Whatever is sent is answered 400 by a problem document that names the fault, and the client's keys are as before."""
    owner = KeyOwner.of(backstage)
    before = owner.listed().json

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(body=BODIES)
    def refused(body: bytes) -> None:
        answer = owner.post(body, raw=True)
        assert answer.status == 400, body
        assert answer.headers["Content-Type"] == PROBLEM
        assert answer.json["type"].rpartition(":")[2] in {"invalid_key", "invalid_request"}
        assert answer.json["detail"].split(":")[0].split(".")[0] in {"jwk", "body", "Content-Length"}

    refused()
    assert owner.listed().json == before
