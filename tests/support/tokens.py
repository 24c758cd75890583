"""Tokens made by hand, octet by octet, for tests that must say what no library would say."""

import base64
import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from tillit.protocol.access_token import check_access_token
from tillit.protocol.client_assertion import check_assertion, read_assertion
from tillit.protocol.dpop import check_proof
from tillit.protocol.jose import ALGORITHMS, SigningKey, generate_key, sign_bytes
from tillit.protocol.request_object import check_request_object

NOW = 1_795_400_000
ISSUER = "https://as.example.no"
CLIENT = "5e1b7c1a-0000-4000-8000-9f1f6a3c2b11"
AUDIENCE = "nhn:phr"
TOKEN_ENDPOINT = "https://as.example.no/connect/token"


def b64(data: bytes) -> str:
    """Encode base64url without padding, independently of the code under test."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def octets(value: Any) -> bytes:
    """Give bytes as they are, anything else as JSON."""
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def compact(header: Any, payload: Any, key: SigningKey | None = None) -> str:
    """Make a compact JWS from a header and payload as given; signed for real when there is a key."""
    text = f"{b64(octets(header))}.{b64(octets(payload))}"
    return f"{text}.{b64(sign_bytes(text.encode(), key)) if key else 'AAAA'}"


@cache
def key_for(alg: str = "ES256", number: int = 0) -> SigningKey:
    """Give the test key of an algorithm, made once per run; another number is another key."""
    return generate_key(alg, f"{alg}-{number}", rsa_bits=2048)


def assertion_claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good client assertion with changes; a change to ``...`` removes the claim."""
    claims = {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": ISSUER,
        "jti": "a-jti",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 30,
    }
    return changed(claims, changes)


def proof_claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good DPoP proof with changes."""
    return changed({"jti": "p-jti", "htm": "POST", "htu": TOKEN_ENDPOINT, "iat": NOW}, changes)


def changed(claims: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Apply changes to claims; ``...`` removes."""
    return {name: value for name, value in (claims | changes).items() if value is not ...}


def access_claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good access token with changes."""
    claims = {
        "iss": ISSUER,
        "sub": CLIENT,
        "aud": AUDIENCE,
        "client_id": CLIENT,
        "scope": ["nhn:phr/read"],
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 600,
        "jti": "t-jti",
        "cnf": {"jkt": "x"},
    }
    return changed(claims, changes)


def request_claims(**changes: Any) -> dict[str, Any]:
    """Give the claims of a good request object with changes."""
    return changed(assertion_claims(client_id=CLIENT, response_type="code"), {"sub": ..., **changes})


def take_assertion(token: str) -> Any:
    """Present a token as a client assertion."""
    return check_assertion(
        read_assertion(token),
        keys=[key_for().public],
        client_id=CLIENT,
        issuer=ISSUER,
        now=NOW,
        algorithms=ALGORITHMS,
    )


def take_proof(token: str) -> Any:
    """Present a token as a DPoP proof."""
    return check_proof([token], method="POST", url=TOKEN_ENDPOINT, now=NOW)


def take_request_object(token: str) -> Any:
    """Present a token as a request object."""
    return check_request_object(token, keys=[key_for().public], client_id=CLIENT, issuer=ISSUER, now=NOW)


def take_access_token(token: str) -> Any:
    """Present a token as an access token at a resource server."""
    return check_access_token(token, keys=[key_for().public], issuer=ISSUER, audience=AUDIENCE, now=NOW)


# name -> (typ, good claims, how it is taken)
INTAKES: dict[str, tuple[str, Callable[..., dict[str, Any]], Callable[[str], Any]]] = {
    "client assertion": ("client-authentication+jwt", assertion_claims, take_assertion),
    "DPoP proof": ("dpop+jwt", proof_claims, take_proof),
    "request object": ("oauth-authz-req+jwt", request_claims, take_request_object),
    "access token": ("at+jwt", access_claims, take_access_token),
}


def good_header(intake: str, **changes: Any) -> dict[str, Any]:
    """Give the header that an intake expects, with changes."""
    key = key_for()
    header: dict[str, Any] = {"typ": INTAKES[intake][0], "alg": "ES256"}
    header |= {"jwk": key.public.bare_jwk} if intake == "DPoP proof" else {"kid": key.kid}
    return changed(header, changes)


def good_claims(intake: str, **changes: Any) -> dict[str, Any]:
    """Give the claims that an intake expects, with changes."""
    return INTAKES[intake][1](**changes)
