"""Authorization codes (RFC 6749 §4.1.2): what one stands for, and where it lies until it is redeemed."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tillit_server.issuer.authorized import Authorized
from tillit_server.storage.ports import Issue

CODE = "code"
"""The space of codes in the store; the tombstone of a redeemed one is ``{"family": …}``."""


@dataclass(frozen=True, slots=True)
class Code:
    """What a code is bound to beside its client (RFC 7636, RFC 9449 §10).

    ``code_challenge`` is None only for a client whose profile goes without PKCE.
    """

    authorized: Authorized
    redirect_uri: str
    code_challenge: str | None
    dpop_jkt: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return {
            "authorized": self.authorized.to_json(),
            "redirect_uri": self.redirect_uri,
            "code_challenge": self.code_challenge,
            "dpop_jkt": self.dpop_jkt,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            authorized=Authorized.from_json(value["authorized"]),
            redirect_uri=value["redirect_uri"],
            code_challenge=value["code_challenge"],
            dpop_jkt=value["dpop_jkt"],
        )


def new_code(code: Code, *, now: float, lifetime: int) -> tuple[str, Issue]:
    """A code of 256 random bits, and the ticket to settle. It is dead at ``now + lifetime`` (seconds)."""
    text = secrets.token_urlsafe(32)
    # A ticket is good up to and including its instant, a code until just before it.
    return text, Issue(CODE, text, code.to_json(), now + lifetime - 0.001)
