"""J1 to J17 for tokens of our own: access tokens at userinfo and introspection, ID tokens as a hint.

Most of these tokens are signed with the service's true key: what is refused is refused for its form alone.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.backstage import Backstage
from support.granted import Granted, grant, introspect, login_client
from support.tokens import b64, changed, compact, key_for, octets
from support.visitor import Visitor
from tillit.protocol.dpop import make_proof
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import SigningKey, generate_key, private_pem, sign_bytes

USERINFO, INTROSPECTION, HINT = "access token at userinfo", "access token at introspection", "id_token_hint"
INTAKES = pytest.mark.parametrize("intake", [USERINFO, INTROSPECTION, HINT])
PROMPT = 0.5
"""Seconds for a refusal over HTTP, on a machine that tests share."""


class Forge:
    """Makes tokens octet by octet with the key of the service, and shows them where such tokens come back."""

    def __init__(self, granted: Granted) -> None:
        self.granted = granted
        self.key: SigningKey = granted.behind.services.signer._key("ES256")

    def good(self, intake: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Header and claims of a token that is fine there."""
        token = self.granted.id_token() if intake == HINT else self.granted.access_token()
        jws = read_jws(token)
        return dict(jws.header), dict(jws.claims)

    def made(self, intake: str, *, key: SigningKey | None = None, **header: Any) -> str:
        """Such a token with its header changed; ``...`` removes a member."""
        head, claims = self.good(intake)
        return compact(changed(head, header), claims, key or self.key)

    def taken(self, intake: str, token: str) -> bool:
        """Whether the service takes it; whatever else it does is a failure."""
        if intake == HINT:
            page = Visitor(self.granted.behind.service).open(
                f"{self.granted.behind.service.issuer}/connect/endsession?id_token_hint={token}"
            )
            assert page.status in {200, 400}, page
            return bool(page.status == 200)
        if intake == INTROSPECTION:
            answer = introspect(self.granted.ehr, token)
            assert answer.status == 200
            return bool(answer.json["active"])
        answer = self.granted.userinfo(token)
        assert answer.status in {200, 401}
        return answer.status == 200

    def all_refused(self, intake: str, tokens: dict[Any, str]) -> None:
        """None of them is taken, and a good one is."""
        assert {name for name, token in tokens.items() if self.taken(intake, token)} == set()
        assert self.taken(intake, self.made(intake))


@pytest.fixture(scope="module")
def forge(backstage: Backstage) -> Forge:
    """One login, and the true key."""
    return Forge(grant(backstage, login_client(backstage)))


@INTAKES
def test_j1_an_unknown_algorithm_is_refused(intake: str, forge: Forge):
    """Missing, unknown or `none`, signed for real, with nonsense or not at all."""
    tokens = {}
    for alg in ("none", "None", "nOnE", "", None, 1, ..., "es256"):
        signed = forge.made(intake, alg=alg)
        tokens |= {(alg, "signed"): signed, (alg, "empty"): signed.rpartition(".")[0] + "."}
    tokens["no signature"] = forge.made(intake).rpartition(".")[0] + "."
    forge.all_refused(intake, tokens)


@INTAKES
def test_j2_our_public_key_is_no_secret(intake: str, forge: Forge):
    """No HMAC with anything that we publish, in whatever spelling."""
    import hashlib
    import hmac

    public = forge.key.public.jwk
    pem = private_pem(forge.key, None)
    secrets = {
        "JWK": json.dumps(public).encode(),
        "x": public["x"].encode(),
        "kid": forge.key.kid.encode(),
        "a PEM": pem,
        "empty": b"",
    }
    tokens = {}
    for alg, digest in (("HS256", hashlib.sha256), ("HS384", hashlib.sha384), ("HS512", hashlib.sha512)):
        head, claims = forge.good(intake)
        text = f"{b64(octets({**head, 'alg': alg}))}.{b64(octets(claims))}"
        for name, secret in secrets.items():
            tokens[alg, name] = f"{text}.{b64(hmac.new(secret, text.encode(), digest).digest())}"
    forge.all_refused(intake, tokens)


@INTAKES
def test_j3_j4_only_our_own_keys_count(intake: str, forge: Forge):
    """Another key, be it under our kid, named in the header, or fetched from an address there."""
    foreign = key_for("ES256", 9)
    rs = generate_key("RS256", rsa_bits=2048)
    tokens = {
        "another key": forge.made(intake, key=foreign, kid=foreign.kid),
        "under our kid": forge.made(intake, key=foreign),
        "without a kid": forge.made(intake, key=foreign, kid=...),
        "jwk": forge.made(intake, key=foreign, jwk=foreign.public.bare_jwk),
        "own jwk": forge.made(intake, jwk=forge.key.public.bare_jwk),
        "jku": forge.made(intake, jku="http://127.0.0.1:1/"),
        "x5u": forge.made(intake, x5u="http://127.0.0.1:1/"),
        "x5c": forge.made(intake, x5c=["MIIB"]),
        "RS256 by another": forge.made(intake, key=rs, alg="RS256", kid=rs.kid),
        "ES384": forge.made(intake, alg="ES384"),
        "PS256": forge.made(intake, alg="PS256"),
    }
    forge.all_refused(intake, tokens)


@INTAKES
def test_j5_j6_j7_nothing_odd_in_the_header(intake: str, forge: Forge):
    """Key ids that are tricks, anything critical, a payload that is not encoded, compressed or elsewhere."""
    tokens: dict[Any, str] = {
        ("kid", str(kid)[:20]): forge.made(intake, kid=kid)
        for kid in ("../../dev/null", "' OR 1=1--", "a\0b", "k" * 3_000, 7, [], {}, "", None, "unknown")
    }
    tokens |= {
        ("crit", str(crit)): forge.made(intake, crit=crit, bork=1)
        for crit in (["bork"], [], ["alg"], "b64", ["b64"], None)
    }
    tokens |= {("b64", value): forge.made(intake, b64=value) for value in (True, False)}
    tokens |= {("zip", "DEF"): forge.made(intake, zip="DEF"), ("enc", "A"): forge.made(intake, enc="A128GCM")}
    first, _, last = forge.made(intake).split(".")
    tokens["detached"] = f"{first}..{last}"
    forge.all_refused(intake, tokens)


@INTAKES
def test_j8_j9_j13_the_payload_is_read_one_way(intake: str, forge: Forge):
    """A member twice, times that are no whole numbers, and text that is not UTF-8."""
    head, claims = forge.good(intake)
    whole = json.dumps(claims)
    tokens: dict[Any, str] = {}
    for name in ("iss", "sub", "aud", "exp"):
        twice = whole.replace(f'"{name}":', f'"{name}": "x", "{name}":', 1)
        tokens["twice", name] = compact(head, twice.encode(), forge.key)
    twice = json.dumps(head).replace('"alg":', '"alg": "none", "alg":')
    tokens["twice", "alg"] = compact(twice.encode(), claims, forge.key)
    if intake != HINT:  # a hint may be of any age, so nobody reads its times
        for name in ("exp", "iat", "nbf"):
            for odd in ('"1"', "true", "null", "[1]", "1.5", "NaN", "1e400", "9007199254740993", "1" * 400):
                text = whole.replace(f'"{name}": {claims[name]}', f'"{name}": {odd}', 1)
                tokens[name, odd[:20]] = compact(head, text.encode(), forge.key)
    for encoding in ("utf-16", "utf-32", "utf-8-sig"):
        tokens["encoding", encoding] = compact(head, whole.encode(encoding), forge.key)
    tokens["bad UTF-8"] = compact(head, whole.replace(claims["iss"], "x").encode() + b"\xff", forge.key)
    tokens["surrogate"] = compact(
        head, whole.replace('"iss"', '"a": "\\ud800", "iss"', 1).encode(), forge.key
    )
    forge.all_refused(intake, tokens)


@INTAKES
def test_j10_j11_deep_and_large_is_refused_at_once(intake: str, forge: Forge):
    """Nesting and size cost nothing."""
    head, claims = forge.good(intake)
    deep = {levels: "[" * levels + "]" * levels for levels in (33, 500)}
    tokens = {
        levels: compact(head, json.dumps({**claims, "a": "@"}).replace('"@"', text).encode(), forge.key)
        for levels, text in deep.items()
    }
    tokens |= {"dots": "." * 5_000, "equals": "=" * 5_000}
    for name, token in tokens.items():
        times = []
        for _ in range(3):
            begun = time.monotonic()
            assert not forge.taken(intake, token), name
            times.append(time.monotonic() - begun)
        assert min(times) < PROMPT, name


@INTAKES
def test_j12_j14_one_spelling_and_one_form(intake: str, forge: Forge):
    """Padding, blanks, other alphabets, more or fewer parts, JSON: refused, though the signature is true."""
    good = forge.made(intake)
    first, second, third = good.split(".")
    tokens = {
        "padding": f"{first}.{second}==.{third}",
        "blank": f"{first}.{second}.{third}%20" if intake == HINT else f"{first}.{second}.{third}~",
        "plus": f"{first}.{second}.{third[:-1]}%2B" if intake == HINT else f"{first}.{second}.{third[:-1]}+",
        "trailing bits": good[:-1] + chr(ord(good[-1]) + 1) if good[-1] not in "zZ9_-" else good + "A",
        "four parts": f"{good}.{third}",
        "five parts": f"{good}.{third}.{third}",
        "two parts": f"{first}.{second}",
        "one part": first,
        "trailing dot": f"{good}.",
        "nested": compact({"alg": "ES256", "kid": forge.key.kid, "cty": "JWT"}, good.encode(), forge.key),
    }
    assert {name for name, token in tokens.items() if forge.taken(intake, token)} == set()


@INTAKES
def test_j15_a_signature_has_one_form(intake: str, forge: Forge):
    """Not zero, not DER, not of another length."""
    text = forge.made(intake).rpartition(".")[0]
    raw = sign_bytes(text.encode(), forge.key)
    half = len(raw) // 2
    signatures = {
        "zero": bytes(len(raw)),
        "r zero": bytes(half) + raw[half:],
        "s zero": raw[:half] + bytes(half),
        "ff": b"\xff" * len(raw),
        "shorter": raw[:-1],
        "longer": raw + b"\0",
        "DER": b"\x30\x44\x02\x20" + raw[:half] + b"\x02\x20" + raw[half:],
        "of another text": sign_bytes(b"other", forge.key),
    }
    forge.all_refused(intake, {name: f"{text}.{b64(octet)}" for name, octet in signatures.items()})


@INTAKES
def test_j17_nothing_encrypted_is_taken(intake: str, forge: Forge):
    """A JWE is not even looked into."""
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": "c2FsdA"}
    tokens = {"five parts": ".".join([b64(octets(header)), "AAAA", "AAAA", "AAAA", "AAAA"])}
    tokens["three parts"] = compact(header, {"a": 1})
    forge.all_refused(intake, tokens)


CLAIMS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "another issuer": lambda claims: {**claims, "iss": "https://other.example"},
    "our issuer with a slash": lambda claims: {**claims, "iss": claims["iss"] + "/"},
    "no issuer": lambda claims: {name: value for name, value in claims.items() if name != "iss"},
    "no subject": lambda claims: {name: value for name, value in claims.items() if name != "sub"},
    "two audiences": lambda claims: {**claims, "aud": [claims["aud"], "x"]},
    "no audience": lambda claims: {name: value for name, value in claims.items() if name != "aud"},
}


@INTAKES
def test_j18_whose_token_it_is(intake: str, forge: Forge):
    """Even under our own signature, a token is ours only with our issuer, one audience and a subject."""
    head, claims = forge.good(intake)
    forge.all_refused(
        intake, {name: compact(head, change(claims), forge.key) for name, change in CLAIMS.items()}
    )


def test_j18_a_confirmation_that_we_do_not_know_is_never_ignored(forge: Forge):
    """`cnf` of another kind, or of several, is not a token without a key (RFC 7800 §3.1)."""
    head, claims = forge.good(USERINFO)
    for cnf in ({}, {"x5t#S256": "x"}, {"jkt": ""}, {"jkt": claims["cnf"]["jkt"], "kid": "x"}, None, "x", []):
        token = compact(head, {**claims, "cnf": cnf}, forge.key)
        assert forge.granted.userinfo(token).status == 401
        assert forge.granted.userinfo(token, scheme="Bearer", proof=None).status == 401
        assert not forge.taken(INTROSPECTION, token)


def test_d6_a_proof_of_a_key_that_is_not_the_tokens(forge: Forge):
    """The thumbprint in the token decides, not the key that signed the proof."""
    token, key = forge.granted.access_token(), key_for("ES256", 12)
    now = forge.granted.behind.service.now()
    proof = make_proof(key, "GET", forge.granted.userinfo_url, now=now, access_token=token)
    assert forge.granted.userinfo(token, proof=proof).status == 401
