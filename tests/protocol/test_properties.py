"""Whatever arrives, the answer is a value or a refusal of ours."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import COUNT, names, values
from support.tokens import (
    INTAKES,
    NOW,
    TOKEN_ENDPOINT,
    b64,
    compact,
    good_claims,
    good_header,
    key_for,
    proof_claims,
)
from tillit.protocol.authorization_details import read_details
from tillit.protocol.challenge import make_challenge, parse_challenge
from tillit.protocol.dpop import check_proof, normalise_htu
from tillit.protocol.errors import OAuthError, Rejected, redacted
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import load_public_jwk, load_public_jwks, thumbprint
from tillit.protocol.metadata import check_metadata
from tillit.protocol.scope import parse_scope


def refusal_of(function: Callable[..., Any], *arguments: Any) -> OAuthError | Rejected | None:
    """Give the refusal a call ends in, or None; any other exception is a fault and passes through."""
    try:
        function(*arguments)
    except (Rejected, OAuthError) as refusal:
        return refusal
    return None


@COUNT
@given(
    st.text(max_size=80) | st.binary(max_size=80) | st.lists(st.binary(max_size=30), min_size=3, max_size=3)
)
def test_read_jws_survives_anything(raw):
    """Any text, octets or parts give a token or Rejected."""
    token = ".".join(b64(part) for part in raw) if isinstance(raw, list) else raw
    try:
        jws = read_jws(token)
    except Rejected:
        return
    assert isinstance(jws.claims, dict)


@COUNT
@given(st.sampled_from(sorted(INTAKES)), st.dictionaries(names, values, max_size=3), values, st.data())
def test_intakes_survive_any_member(intake, extra_header, value, data):
    """A well-signed token with any one member changed is accepted or refused, at every intake."""
    claims, header = good_claims(intake), good_header(intake)
    if data.draw(st.booleans()):
        claims[data.draw(st.sampled_from(sorted(claims)))] = value
    else:
        header[data.draw(st.sampled_from(sorted(header)))] = value
    refusal = refusal_of(INTAKES[intake][2], compact(extra_header | header, claims, key_for()))
    assert refusal is None or str(refusal)


@COUNT
@given(
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "d", "use"]), values | names)
)
def test_proof_survives_any_jwk(jwk):
    """A proof may bring any object as its key."""
    token = compact({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, proof_claims())
    with pytest.raises(OAuthError, match="invalid_dpop_proof"):
        check_proof([token], method="POST", url=TOKEN_ENDPOINT, now=NOW)


@COUNT
@given(st.lists(st.text(max_size=40), max_size=3))
def test_proof_survives_any_header_values(headers):
    """Any number of any header values is refused as a proof."""
    with pytest.raises(OAuthError, match="invalid_dpop_proof"):
        check_proof(headers, method="POST", url=TOKEN_ENDPOINT, now=NOW)


members = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["EC", "RSA", "OKP", "oct", "ec"]) | values,
        "crv": st.sampled_from(["P-256", "P-384", "P-521", "Ed25519", "P-256K"]) | values,
        "x": st.binary(max_size=70).map(b64) | values,
        "y": st.binary(max_size=70).map(b64) | values,
        "n": st.binary(max_size=300).map(b64) | values,
        "e": st.sampled_from(["AQAB", "Aw", "AQ", "AQAAAAA"]) | values,
        "kid": values,
        "alg": st.sampled_from(["ES256", "PS256"]) | values,
        "use": values,
        "key_ops": values,
    },
)


@COUNT
@given(members)
def test_keys_survive_any_members(jwk):
    """A JWK of any shape is a key or Rejected, alone, in a set, and for its thumbprint."""
    for load in (
        load_public_jwk,
        thumbprint,
        lambda key: load_public_jwks({"keys": [key]}, skip_unusable=True),
    ):
        assert not isinstance(refusal_of(load, jwk), OAuthError)


hosts = st.sampled_from(["as.example.no", "AS.Example.no", "[::1]", "[2001:db8::A]", "127.0.0.1", "a_b", ""])
urls = st.builds(
    lambda scheme, host, port, path, rest: f"{scheme}://{host}{port}{path}{rest}",
    st.sampled_from(["https", "http", "HTTPS", "ftp", ""]),
    hosts,
    st.sampled_from(["", ":443", ":80", ":8443", ":0443", ":", ":99999"]),
    st.sampled_from(["", "/", "/a/../b", "/%2e", "/A", "//x"]) | st.text(max_size=5),
    st.sampled_from(["", "?q=1", "#f", "?a#b", "?a?b#c#d"]),
)


@COUNT
@given(urls | st.text(max_size=30) | values)
def test_normalising_a_url_is_idempotent(url):
    """Any value is refused or gives a form that is its own form, without query and fragment."""
    try:
        form = normalise_htu(url)
    except Rejected:
        return
    assert normalise_htu(form) == form
    assert not {"?", "#", " "} & set(form)


@COUNT
@given(values)
def test_details_survive_any_value(value):
    """Authorization details of any shape are read or refused with a rule."""
    for given_value in (value, json.dumps(value)):
        refusal = refusal_of(read_details, given_value)
        if isinstance(refusal, OAuthError):
            assert refusal.code == "invalid_authorization_details"
            assert refusal.rule in {"ATT-1", "ATT-TYPE", "ATT-SHAPE"}
        assert not isinstance(refusal, Rejected)


@COUNT
@given(st.text(max_size=40) | st.text('abc="\\, \t', max_size=40))
def test_challenges_survive_any_text(text):
    """A challenge of any text is read or refused; one we make comes back as one."""
    assert not isinstance(refusal_of(parse_challenge, text), OAuthError)
    (challenge,) = parse_challenge(make_challenge("DPoP", text, text))
    assert challenge.scheme == "DPoP"
    assert set(challenge.attributes) == {"error", "error_description"}


@COUNT
@given(st.text(max_size=30))
def test_scopes_survive_any_text(text):
    """A scope of any text is refused, or its values joined give it again but for repetitions."""
    try:
        scope = parse_scope(text)
    except Rejected:
        return
    assert set(scope) == set(text.split())


@COUNT
@given(values, st.dictionaries(st.sampled_from(["issuer", "jwks_uri", "token_endpoint"]), values | urls))
def test_metadata_survive_any_document(value, document):
    """A fetched document of any shape is accepted or Rejected."""
    for candidate in (value, document, {"issuer": "https://as.example.no"} | document):
        refusal = refusal_of(check_metadata, candidate, "https://as.example.no")
        assert refusal is None or refusal.pointer


@COUNT
@given(st.text(), st.text(), values | st.text())
def test_an_error_is_always_sendable(description, detail, found):
    """Descriptions keep to the characters of RFC 6749, and what was found is short printable ASCII."""
    body = OAuthError("invalid_request", description, detail=detail).body()["error_description"]
    assert all(" " <= char <= "~" and char not in '"\\' for char in body)
    shown = redacted(found)
    assert len(shown) <= 64
    assert all(" " <= char <= "~" for char in shown)
