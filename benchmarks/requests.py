"""Requests signed beforehand: a fresh assertion each, and a fresh proof where the path needs one."""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tillit.protocol.client_assertion import ASSERTION_TYPE, make_assertion
from tillit.protocol.dpop import make_proof
from tillit.protocol.jose import SigningKey, generate_key
from tillit_server.clock import Clock

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "attestation-specialist-care.json"
ATTESTATION = json.loads(EXAMPLE.read_text(encoding="utf-8"))
SCOPE = "nhn:phr/mhd/read-documentreferences"


@dataclass(frozen=True, slots=True)
class Sender:
    """One client of the service under measurement; its requests are good for less than a minute."""

    issuer: str
    client_id: str
    key: SigningKey
    nonce: str
    now: Clock = time.time
    dpop_key: SigningKey = field(default_factory=lambda: generate_key("ES256"))

    def request(
        self, path: str, form: Mapping[str, str], *, proof: bool = False, details: Any = None
    ) -> bytes:
        """A whole HTTP request to ``path``, authenticated; with ``details`` in the assertion."""
        now = self.now()
        assertion = make_assertion(
            self.key,
            self.client_id,
            self.issuer,
            now=now,
            lifetime=60,
            jti=secrets.token_hex(16),
            assertion_details=details,
        )
        signed = {
            "client_id": self.client_id,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        }
        body = urlencode({**form, **signed})
        dpop = make_proof(self.dpop_key, "POST", self.issuer + path, now=now, nonce=self.nonce)
        return (
            f"POST {path} HTTP/1.1\r\nHost: {self.issuer.partition('://')[2]}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"{f'DPoP: {dpop}' if proof else 'Accept: application/json'}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode("ascii")
