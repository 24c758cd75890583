"""DPoP proofs: rows D1, D3, D4 and D5 at the validator, and the order of its checks."""

from typing import Any

import pytest

from support.tokens import NOW, TOKEN_ENDPOINT, compact, key_for, proof_claims
from tillit.protocol.dpop import MAX_AGE, access_token_hash, check_proof, make_proof, normalise_htu
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import private_jwk
from tillit.protocol.nonces import Nonces

KEY = key_for("ES256")
NONCES = Nonces(lambda: [b"n" * 32])


def proof(key: Any = KEY, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Make a signed proof by hand, with changes to header and claims."""
    head = {"typ": "dpop+jwt", "alg": key.alg, "jwk": key.public.bare_jwk} | (header or {})
    return compact({n: v for n, v in head.items() if v is not ...}, proof_claims(**changes), key)


def check(*headers: str, now: float = NOW, url: str = TOKEN_ENDPOINT, **more: Any) -> Any:
    return check_proof(headers, method="POST", url=url, now=now, **more)


def refusal(*headers: str, **more: Any) -> OAuthError:
    with pytest.raises(OAuthError) as caught:
        check(*headers, **more)
    return caught.value


def test_a_proof_we_make_is_a_proof_we_take():
    """Both ends agree, and the result says how long the jti must be remembered."""
    made = make_proof(KEY, "POST", f"{TOKEN_ENDPOINT}?a=b#c", now=NOW + 0.9, jti="one")
    taken = check(made, now=NOW + 2)
    assert (taken.jkt, taken.jti, taken.iat, taken.nonce) == (KEY.public.thumbprint, "one", NOW, None)
    assert (taken.alg, taken.expires_at, taken.key.thumbprint) == ("ES256", NOW + MAX_AGE, taken.jkt)
    assert make_proof(KEY, "POST", TOKEN_ENDPOINT, now=NOW) != make_proof(
        KEY, "POST", TOKEN_ENDPOINT, now=NOW
    )


@pytest.mark.parametrize("alg", ["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"])
def test_every_algorithm_makes_proofs(alg):
    """A key of every allowed algorithm proves its possession."""
    assert check(make_proof(key_for(alg), "POST", TOKEN_ENDPOINT, now=NOW)).alg == alg


WRONG = {"missing": ..., "null": None, "number": 7, "object": {}, "array": [], "empty": "", "boolean": True}


@pytest.mark.parametrize("claim", ["jti", "htm", "htu", "iat"])
@pytest.mark.parametrize("fault", WRONG)
def test_d1_claims_missing_or_of_the_wrong_type(claim, fault):
    """Every claim of section 4.2 must be there and be what it should be; the error names it."""
    value = "7" if (claim, fault) == ("iat", "number") else WRONG[fault]
    answer = refusal(proof(**{claim: value}))
    assert (answer.code, answer.status, answer.pointer) == ("invalid_dpop_proof", 400, f"payload.{claim}")
    assert claim in answer.description


@pytest.mark.parametrize("member", ["typ", "alg", "jwk"])
@pytest.mark.parametrize("fault", WRONG)
def test_d1_header_members_missing_or_of_the_wrong_type(member, fault):
    """Every header member of section 4.2 must be there and be what it should be."""
    answer = refusal(proof(header={member: WRONG[fault]}))
    assert (answer.code, answer.pointer.split(".")[-1]) == (
        "invalid_dpop_proof",
        "kty" if (member, fault) == ("jwk", "object") else member,
    )


@pytest.mark.parametrize("fault", WRONG)
def test_d1_ath_missing_or_of_the_wrong_type(fault):
    """With an access token the proof must carry its hash."""
    assert refusal(proof(ath=WRONG[fault]), access_token="a.b.c").pointer == "payload.ath"


@pytest.mark.parametrize(
    "typ", ["DPOP+JWT", "dpop+JWT", "JWT", "at+jwt", "application/dpop+jwt", "client-authentication+jwt"]
)
def test_d1_only_the_type_of_a_proof(typ):
    """Another type, or ours in other letters, is refused."""
    assert refusal(proof(header={"typ": typ})).pointer == "header.typ"


def test_d1_exactly_one_header():
    """No header, two headers, and two joined with a comma by a server in between are refused."""
    good = proof()
    for headers in (
        (),
        (good, good),
        (good, proof(jti="other")),
        (f"{good},{good}",),
        (f"{good}, {good}",),
        ("",),
    ):
        assert refusal(*headers).code == "invalid_dpop_proof"
    for text in ("not a proof", good.upper(), good.swapcase(), good[:-1], good[1:], f"{good}.", '{"a":1}'):
        assert refusal(text).code == "invalid_dpop_proof"


def test_d1_extra_members_are_accepted():
    """Unknown members of header, key and payload are no fault (conformance 6.8)."""
    header = {
        "x": 1,
        "kid": "any",
        "jwk": KEY.public.bare_jwk | {"kid": "other", "use": "enc", "alg": "ES256", "z": []},
    }
    assert check(proof(header=header, extra={"a": [1]}, sub="someone")).jti == "p-jti"


def test_d1_jti_is_short_enough_to_remember():
    """A jti of 256 characters passes, one more does not."""
    assert check(proof(jti="j" * 256)).jti == "j" * 256
    assert refusal(proof(jti="j" * 257)).pointer == "payload.jti"


# htu as sent -> whether it names https://as.example.no/connect/token
HTU: dict[Any, bool] = {
    "https://as.example.no/connect/token": True,
    "https://as.example.no/connect/token?a=b": True,
    "https://as.example.no/connect/token#part": True,
    "https://as.example.no/connect/token?a=b#part": True,
    "HTTPS://as.example.no/connect/token": True,
    "https://AS.Example.NO/connect/token": True,
    "https://as.example.no:443/connect/token": True,
    "hTTps://as.EXAMPLE.no:443/connect/token?x#y": True,
    "https://as.example.no/connect/token/": False,
    "https://as.example.no/connect%2Ftoken": False,
    "https://as.example.no/connect/%74oken": False,
    "https://as.example.no/connect/%2e/token": False,
    "https://as.example.no/connect/./token": False,
    "https://as.example.no/x/../connect/token": False,
    "https://as.example.no//connect/token": False,
    "https://as.example.no/Connect/token": False,
    "https://as.example.no/connect/par": False,
    "https://as.example.no": False,
    "http://as.example.no/connect/token": False,
    "https://as.example.no:8443/connect/token": False,
    "https://as.example.no:80/connect/token": False,
    "https://as.example.no.evil.example/connect/token": False,
    "https://user@as.example.no/connect/token": False,
    "https://as.example.no@evil.example/connect/token": False,
    "https://as.example.no\\@evil.example/connect/token": False,
    "https://as.example.no:0443/connect/token": False,
    "https://as.example.no:/connect/token": False,
    "//as.example.no/connect/token": False,
    "/connect/token": False,
    " https://as.example.no/connect/token": False,
    "https://as.example.no/connect/token\n": False,
    "https://as.example.no/connect/tøken": False,
    "https://аs.example.no/connect/token": False,
    "https://as.example.no/connect/token" + "?" + "a" * 2048: False,
    7: False,
}


@pytest.mark.parametrize("htu", HTU)
def test_d3_the_address_of_the_request(htu):
    """Query, fragment, case of scheme and host and the default port are forgiven, nothing else is."""
    if HTU[htu]:
        assert check(proof(htu=htu)).jti == "p-jti"
    else:
        answer = refusal(proof(htu=htu))
        assert (answer.code, answer.pointer) == ("invalid_dpop_proof", "payload.htu")


def test_d3_our_own_address_is_normalised_too():
    """What is configured with capitals, port or query is compared in the same form."""
    for url in ("https://AS.example.no:443/connect/token", f"{TOKEN_ENDPOINT}?a"):
        assert check(proof(), url=url).jti == "p-jti"
    assert normalise_htu("http://[::1]:80") == "http://[::1]/"
    assert normalise_htu("http://[2001:DB8::A]:8080/x") == "http://[2001:db8::a]:8080/x"
    with pytest.raises(Rejected):
        normalise_htu("https://[::1/x")


def test_d4_the_method_is_case_sensitive():
    """Htm must be the method, letter for letter."""
    for method in ("post", "Post", "GET", "POST ", "PO"):
        assert refusal(proof(htm=method)).pointer == "payload.htm"


@pytest.mark.parametrize("offset", [-60, -10, -8, 0, 8, 10])
def test_d4_iat_within_the_window(offset):
    """Sixty seconds back and ten ahead are accepted."""
    assert check(proof(iat=NOW + offset)).expires_at == NOW + offset + 60


@pytest.mark.parametrize("offset", [-3600, -61, 11, 61, 3600])
def test_d4_iat_outside_the_window(offset):
    """Outside the window the clock difference is told, with a nonce too."""
    nonce = NONCES.issue(NOW)
    answer = refusal(proof(iat=NOW + offset, nonce=nonce), nonces=NONCES)
    assert (answer.pointer, answer.clock_difference) == ("payload.iat", offset)


def test_d4_the_window_is_that_of_the_clock_given():
    """Boundaries are exact to a fraction of a second."""
    assert check(proof(), now=NOW + 60.0).iat == NOW
    assert refusal(proof(), now=NOW + 60.001).pointer == "payload.iat"
    assert check(proof(), now=NOW - 10.0).iat == NOW
    assert refusal(proof(), now=NOW - 10.001).pointer == "payload.iat"


def test_d4_times_of_the_proof_itself():
    """Exp and nbf are not asked for, but what they say holds."""
    assert check(proof(exp=NOW + 1, nbf=NOW - 1)).jti == "p-jti"
    assert check(proof(exp=NOW - 5, nbf=NOW + 10)).jti == "p-jti"
    assert refusal(proof(exp=NOW - 6)).pointer == "payload.exp"
    assert refusal(proof(nbf=NOW + 11)).pointer == "payload.nbf"
    assert refusal(proof(exp="soon")).pointer == "payload.exp"


def test_d5_a_private_key_in_the_proof():
    """A proof that gives its private key away is refused, and the pointer names the member for the alarm."""
    for alg, member in (("ES256", "jwk.d"), ("PS256", "jwk.d"), ("EdDSA", "jwk.d")):
        answer = refusal(proof(key_for(alg), header={"jwk": private_jwk(key_for(alg))}))
        assert (answer.pointer, "private" in answer.detail) == (member, True)
        assert private_jwk(key_for(alg))["d"] not in f"{answer.detail}{answer.found}{answer.description}"


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jwk": key_for("PS256").public.bare_jwk | {"n": "AQAB"}, "alg": "PS256"},
        {"x5c": ["MIIB"]},
        {"jwk": KEY.public.bare_jwk | {"x5c": ["MIIB"]}},
        {"jwk": KEY.public.bare_jwk | {"alg": "ES384"}},
        {"jwk": key_for("ES384").public.bare_jwk},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS256", "jwk": key_for("RS256").public.bare_jwk},
        {"jwk": key_for("ES256", 1).public.bare_jwk},
    ],
)
def test_d5_bad_keys_and_algorithms(header):
    """Symmetric, weak and foreign keys, certificates, none, HMAC and RS256 are refused."""
    assert refusal(proof(header=header)).code == "invalid_dpop_proof"


def test_d5_rs256_is_refused_even_when_it_verifies():
    """A well-made RS256 proof is refused unless the caller's own list names RS256."""
    token = proof(key_for("RS256"))
    assert refusal(token).pointer == "header.alg"
    assert check(token, algorithms=("RS256",)).alg == "RS256"
    assert refusal(proof(header={"jwk": key_for("ES384").public.bare_jwk})).pointer == "header.alg"


def test_the_key_and_the_token_it_is_bound_to():
    """Another key than expected, or the hash of another token, is refused."""
    made = make_proof(KEY, "POST", TOKEN_ENDPOINT, now=NOW, access_token="a.b.c")
    assert check(made, access_token="a.b.c", expected_jkt=KEY.public.thumbprint).jti
    assert refusal(made, access_token="a.b.d").pointer == "payload.ath"
    assert refusal(made, expected_jkt=key_for("ES256", 1).public.thumbprint).pointer == "header.jwk"
    assert refusal(made, expected_jkt="ø").pointer == "header.jwk"
    assert access_token_hash("a.b.c") == read_jws(made, allow_jwk=True).claims["ath"]


def test_nonce_before_signature_and_after_shape():
    """A nonce is asked for only of a proof in good shape, and before any signature is verified."""
    unsigned = f"{proof().rpartition('.')[0]}.AAAA"
    answer = refusal(unsigned, nonces=NONCES)
    assert (answer.code, answer.status) == ("use_dpop_nonce", 400)
    assert answer.headers == (("DPoP-Nonce", NONCES.issue(NOW)),)
    assert refusal(unsigned).pointer == "signature"
    assert refusal(proof(htm="GET"), nonces=NONCES).code == "invalid_dpop_proof"
    assert refusal(proof(iat=NOW - 61), nonces=NONCES).code == "invalid_dpop_proof"
    assert refusal(proof(nonce=7), nonces=NONCES).code == "invalid_dpop_proof"
    for stale in ("forged", NONCES.issue(NOW - 241)):
        assert refusal(proof(nonce=stale), nonces=NONCES).code == "use_dpop_nonce"
    good = make_proof(KEY, "POST", TOKEN_ENDPOINT, now=NOW, nonce=answer.headers[0][1])
    assert check(good, nonces=NONCES).nonce == answer.headers[0][1]


def test_only_the_challenge_carries_a_nonce():
    """No other error has the DPoP-Nonce header: clients would hide the real error behind one more try."""
    for answer in (
        refusal(proof(htm="GET"), nonces=NONCES),
        refusal(nonces=NONCES),
        refusal("x", nonces=NONCES),
    ):
        assert answer.headers == ()
