"""Access tokens as a test sees them: verified with the service's published keys, and taken apart."""

from typing import Any

from support.ehr import Answer
from support.service import Service, http_json
from tillit.protocol.access_token import check_access_token
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import load_public_jwks
from tillit.protocol.metadata import JWKS_PATH

CLAIM = "nhn:tillitsrammeverk:parameters"


def claims_of(answer: Answer) -> dict[str, Any]:
    """The claims of the access token in an answer, not verified."""
    assert answer.status == 200, answer.body
    return read_jws(answer.json["access_token"]).claims


def attested(answer: Answer) -> Any:
    """The attestation claim of the access token in an answer, not verified."""
    return claims_of(answer)[CLAIM]


def verified(service: Service, answer: Answer, *, audience: str) -> dict[str, Any]:
    """The claims of the access token in an answer, verified as its audience would."""
    assert answer.status == 200, answer.body
    _, _, jwks = http_json("GET", service.issuer + JWKS_PATH)
    token = check_access_token(
        answer.json["access_token"],
        keys=load_public_jwks(jwks, algorithms=("ES256", "RS256")),
        issuer=service.issuer,
        audience=audience,
        now=service.now(),
    )
    return dict(token.claims)
