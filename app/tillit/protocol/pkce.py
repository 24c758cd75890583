"""Proof Key for Code Exchange (RFC 7636), with S256 alone: made by the client, checked by the server.

The challenge comes with the authorization request and the verifier with the code, so that whoever gets hold
of a code cannot redeem it.
"""

import hashlib
import hmac
import re
import secrets
from typing import Any, Final

from tillit.protocol.errors import invalid_grant, invalid_request
from tillit.protocol.jwk import base64url

METHOD: Final = "S256"

# base64url of 32 octets: the last character holds four bits, so its last two are zero (RFC 4648 section 3.5)
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_OCTETS: Final = 32


def make_verifier() -> str:
    """Make a new code verifier: 43 characters that hold 256 random bits (RFC 7636 section 4.1)."""
    return base64url(secrets.token_bytes(_OCTETS))


def challenge_of(verifier: str) -> str:
    """Give the S256 code challenge of a verifier (RFC 7636 section 4.2)."""
    return base64url(hashlib.sha256(verifier.encode("ascii")).digest())


def check_challenge(challenge: Any, method: Any) -> None:
    """Check the two parameters of an authorization request (RFC 7636 section 4.3).

    Without a method the meaning would be ``plain``, which is refused like the word itself. Raises
    OAuthError ``invalid_request``.
    """
    if challenge is None:
        raise invalid_request("PKCE is required: code_challenge is missing.", pointer="code_challenge")
    if method != METHOD:
        raise invalid_request("code_challenge_method must be S256.", pointer="code_challenge_method")
    if type(challenge) is not str or _CHALLENGE.fullmatch(challenge) is None:
        raise invalid_request(
            "code_challenge must be 43 characters of base64url, the SHA-256 of the verifier.",
            pointer="code_challenge",
        )


def check_verifier(verifier: str | None, challenge: str | None) -> None:
    """Check a token request's verifier against the challenge kept with the code (RFC 7636 section 4.6).

    Takes the same time whatever the verifier holds. Where the code was asked for without a challenge, a
    verifier is refused: somebody took the challenge out (RFC 9700 section 4.8.2). Raises OAuthError
    ``invalid_grant``.
    """
    if challenge is None:
        if verifier is not None:
            raise invalid_grant("code_verifier without a code_challenge in the authorization request.")
        return
    if verifier is None:
        raise invalid_grant("code_verifier is missing.")
    if _VERIFIER.fullmatch(verifier) is None:
        raise invalid_grant("code_verifier must be 43 to 128 unreserved characters.")
    if not hmac.compare_digest(challenge_of(verifier).encode("ascii"), challenge.encode("utf-8")):
        raise invalid_grant("code_verifier is not the one of this code.")
