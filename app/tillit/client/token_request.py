"""Requests to the token endpoint and its neighbours, and what comes out of the answers (RFC 6749 §4, §5)."""

from collections.abc import Mapping, Sequence
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

Fields = Sequence[tuple[str, str]]
"""Form fields in order; `resource` may occur more than once (RFC 8707 §2)."""

AUTHORIZATION_CODE = "authorization_code"
CLIENT_CREDENTIALS = "client_credentials"
REFRESH_TOKEN = "refresh_token"  # noqa: S105, a name
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105, a name (RFC 8693 §2.1)

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


@dataclass(frozen=True, slots=True)
class Granted:
    """A whole answer of the token endpoint. `refresh_expires_at` is in Unix seconds, None when not told."""

    token: Token
    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    refresh_expires_at: float | None


def form_request(
    endpoint: str, fields: Fields, *, client_id: str, assertion: str, proof: str | None = None
) -> Request:
    """Make a form request by private_key_jwt (RFC 7523 §2.2), with a proof if there is one (RFC 9449 §5)."""
    form = [
        *fields,
        ("client_id", client_id),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ]
    headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Accept", "application/json"))
    return Request(
        "POST",
        endpoint,
        headers if proof is None else (*headers, ("DPoP", proof)),
        urlencode(form).encode("ascii"),
    )


def target_fields(scope: str | None, resource: str | None) -> Fields:
    """Give the fields that say what a token is for: scope, and one resource (RFC 8707 §2.2)."""
    return [(name, value) for name, value in (("scope", scope), ("resource", resource)) if value]


def client_credentials_request(
    endpoint: str, *, client_id: str, assertion: str, proof: str, scope: str | None, resource: str | None
) -> Request:
    """Make the token request of a client on its own behalf (RFC 6749 §4.4.2)."""
    fields = [("grant_type", CLIENT_CREDENTIALS), *target_fields(scope, resource)]
    return form_request(endpoint, fields, client_id=client_id, assertion=assertion, proof=proof)


def read_token_response(response: Response, *, scope: str | None, now: float) -> Token:
    """Take the token out of an answer of the token endpoint.

    Raises `ServerRefused` for an OAuth error and `BadAnswer` for anything that is not a DPoP-bound token. The
    token itself is opaque to a client (RFC 9068 §6) and is not looked into.
    """
    return read_grant_response(response, scope=scope, now=now).token


def read_grant_response(response: Response, *, scope: str | None, now: float) -> Granted:
    """Take tokens of all kinds out of an answer, as `read_token_response` does. None of them is checked."""
    document = read_object(response)
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
    rest = document.get("rt_expires_in")
    return Granted(
        Token(value, _granted_scope(document, scope), now + seconds),
        _optional_text(document, "id_token"),
        _optional_text(document, "refresh_token"),
        now + rest if isinstance(rest, int) and not isinstance(rest, bool) else None,
    )


def read_object(response: Response, status: int = _OK) -> Mapping[str, Any]:
    """Give the JSON object of an answer with this status. Raises `ServerRefused` or `BadAnswer`."""
    if response.status != status:
        raise refusal(response)
    return _object(response)


def read_empty_answer(response: Response) -> None:
    """Take an answer that says nothing but that it was done. Raises `ServerRefused` or `BadAnswer`."""
    if response.status != _OK:
        raise refusal(response)


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


def refusal(response: Response) -> ServerRefused | BadAnswer:
    """Give what an answer that is no success means: an OAuth error, or nothing we understand."""
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


def _granted_scope(document: Mapping[str, Any], asked: str | None) -> tuple[str, ...]:
    granted = document.get("scope", asked or "")
    try:
        if isinstance(granted, str):
            return parse_scope(granted)
    except Rejected:
        pass
    raise BadAnswer(BadAnswer.BAD_SCOPE, "a scope string is needed")


def _optional_text(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and (not isinstance(value, str) or not value):
        raise BadAnswer(BadAnswer.BAD_TOKEN, f"{name}: a string is needed")
    return value
