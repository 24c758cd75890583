"""Token requests, signed beforehand: a fresh assertion with an attestation and a fresh proof each."""

import json
import secrets
import time
from pathlib import Path
from urllib.parse import urlencode

from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey, generate_key

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "attestation-specialist-care.json"
SCOPE = "nhn:phr/mhd/read-documentreferences"


def signed_requests(
    count: int, *, issuer: str, client_id: str, key: SigningKey, nonce: str, lifetime: int = 60
) -> list[bytes]:
    """``count`` whole HTTP requests, good for less than a minute."""
    endpoint = f"{issuer}/connect/token"
    host = issuer.partition("://")[2]
    details = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    dpop_key = generate_key("ES256")
    requests = []
    for _ in range(count):
        now = time.time()
        assertion = make_assertion(
            key,
            client_id,
            issuer,
            now=now,
            lifetime=lifetime,
            jti=secrets.token_hex(16),
            assertion_details=details,
        )
        proof = make_proof(dpop_key, "POST", endpoint, now=now, nonce=nonce)
        body = urlencode(
            {
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion,
                "scope": SCOPE,
            }
        )
        requests.append(
            (
                f"POST /connect/token HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                f"DPoP: {proof}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode("ascii")
        )
    return requests
