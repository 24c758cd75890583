"""The client credentials request with an attestation, and its answer (RFC 6749 §4.4, §5)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tillit.client.errors import BadAnswer, ServerRefused
from tillit.outbound.transport import Request, Response
from tillit.protocol.challenge import parse_challenge
from tillit.protocol.client_assertion import ASSERTION_TYPE
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.scope import parse_scope

USE_DPOP_NONCE = "use_dpop_nonce"

_OK = 200
_LONGEST_LIFE = 86_400
_LONGEST_WORD = 100


@dataclass(frozen=True, slots=True)
class Token:
    """An access token bound to the client's DPoP key. `expires_at` is in Unix seconds by our clock.

    `scope` is what was granted; compare it with what was asked for. The repr does not show the token.
    """

    value: str = field(repr=False)
    scope: tuple[str, ...]
    expires_at: float


def client_credentials_request(
    endpoint: str, *, client_id: str, assertion: str, proof: str, scope: str | None, resource: str | None
) -> Request:
    """Make the token request: private_key_jwt (RFC 7523 §2.2) and a DPoP proof (RFC 9449 §5)."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    if scope:
        form["scope"] = scope
    if resource:
        form["resource"] = resource
    return Request(
        "POST",
        endpoint,
        (
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Accept", "application/json"),
            ("DPoP", proof),
        ),
        urlencode(form).encode("ascii"),
    )


def read_token_response(response: Response, *, scope: str | None, now: float) -> Token:
    """Take the token out of an answer to `client_credentials_request`.

    Raises `ServerRefused` for an OAuth error and `BadAnswer` for anything that is not a DPoP-bound token. The
    token itself is opaque to a client (RFC 9068 §6) and is not looked into.
    """
    if response.status != _OK:
        raise _refusal(response)
    document = _object(response)
    value = document.get("access_token")
    if not isinstance(value, str) or not value:
        raise BadAnswer(BadAnswer.NO_ACCESS_TOKEN)
    kind = document.get("token_type")
    # A Bearer answer means that the server ignored our proof: whoever copies the token could use it.
    if not isinstance(kind, str) or kind.lower() != "dpop":
        raise BadAnswer(BadAnswer.NOT_SENDER_CONSTRAINED, "token_type DPoP is needed")
    seconds = document.get("expires_in")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= _LONGEST_LIFE:
        raise BadAnswer(BadAnswer.BAD_EXPIRES_IN, "whole seconds, at most a day, are needed")
    granted = document.get("scope", scope or "")
    try:
        if isinstance(granted, str):
            return Token(value, parse_scope(granted), now + seconds)
    except Rejected:
        pass
    raise BadAnswer(BadAnswer.BAD_SCOPE, "a scope string is needed")


def wants_nonce(response: Response) -> bool:
    """Whether this answer only asks for the same request with a nonce (RFC 9449 §8 and §9)."""
    if response.header("DPoP-Nonce") is None:
        return False
    if response.status == 401:  # noqa: PLR2004, an API
        try:
            challenges = parse_challenge(response.header("WWW-Authenticate") or "")
        except Rejected:
            return False
        return any(challenge.error == USE_DPOP_NONCE for challenge in challenges)
    if response.status == 400:  # noqa: PLR2004, a token endpoint
        try:
            return _object(response).get("error") == USE_DPOP_NONCE
        except BadAnswer:
            return False
    return False


def _refusal(response: Response) -> ServerRefused | BadAnswer:
    try:
        document = _object(response)
    except BadAnswer as bad:
        return BadAnswer(bad.code, f"status {response.status}", status=response.status)
    code = document.get("error")
    description = document.get("error_description")
    seconds = response.header("Retry-After") or ""
    return ServerRefused(
        code[:_LONGEST_WORD] if isinstance(code, str) else "server_error",
        description if isinstance(description, str) else "",
        response.status,
        int(seconds) if seconds.isascii() and seconds.isdigit() else None,
    )


def _object(response: Response) -> Mapping[str, Any]:
    try:
        document = read_json(response.body)
    except Rejected as rejected:
        raise BadAnswer(BadAnswer.NOT_JSON, str(rejected)) from rejected
    if not isinstance(document, Mapping):
        raise BadAnswer(BadAnswer.NOT_JSON, "a JSON object is needed")
    return document
