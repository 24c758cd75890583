"""Authorization requests (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1), read once and whole.

The same reading serves a pushed request (RFC 9126), the claims of a request object (RFC 9101) and the front
channel. Which client may ask for what, and whether the redirect URI is one of its own, is for the caller.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from tillit.protocol.authorization_details import read_details
from tillit.protocol.errors import OAuthError, Rejected, invalid_request, invalid_scope
from tillit.protocol.pkce import check_challenge
from tillit.protocol.scope import MAX_LENGTH as MAX_SCOPE_LENGTH
from tillit.protocol.scope import parse_scope

ResponseMode = Literal["query", "form_post"]

RESPONSE_MODES: Final[Mapping[str, ResponseMode]] = {"query": "query", "form_post": "form_post"}
PROMPTS: Final = frozenset({"none", "login", "consent", "select_account"})

MAX_CLIENT_ID_LENGTH: Final = 256
MAX_REDIRECT_URI_LENGTH: Final = 2048
MAX_STATE_LENGTH: Final = 1024
MAX_NONCE_LENGTH: Final = 512
MAX_HINT_LENGTH: Final = 8192
MAX_WORDS_LENGTH: Final = 1024
MAX_RESOURCES: Final = 16
MAX_RESOURCE_LENGTH: Final = 512

_MAX_AGE: Final = 10**9  # seconds; no session is 30 years old
_DIGITS: Final = re.compile(r"[0-9]{1,10}")
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
# An absolute URI without a fragment (RFC 8707 section 2), as far as a name like nhn:phr is one.
_RESOURCE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]+")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that is sound in itself. ``max_age`` is in seconds; ``code_challenge`` is S256.

    ``code_challenge`` is None only where the caller did not require one. ``details`` are the authorization
    details as sent, one of each type. ``login_hint`` and ``details`` may hold a person's number.
    """

    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    state: str | None
    nonce: str | None
    code_challenge: str | None
    response_mode: ResponseMode
    prompt: frozenset[str]
    max_age: int | None
    acr_values: tuple[str, ...]
    login_hint: str | None = field(repr=False)
    ui_locales: tuple[str, ...]
    resources: tuple[str, ...]
    dpop_jkt: str | None
    details: tuple[Mapping[str, Any], ...] | None = field(repr=False)
    id_token_hint: str | None = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Give the request as JSON values, to be kept until the authorization endpoint is opened."""
        return {
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": list(self.scope),
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": self.code_challenge,
            "response_mode": self.response_mode,
            "prompt": sorted(self.prompt),
            "max_age": self.max_age,
            "acr_values": list(self.acr_values),
            "login_hint": self.login_hint,
            "ui_locales": list(self.ui_locales),
            "resources": list(self.resources),
            "dpop_jkt": self.dpop_jkt,
            "details": None if self.details is None else [dict(detail) for detail in self.details],
            "id_token_hint": self.id_token_hint,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Give back what ``to_json`` wrote, which is trusted: nothing is checked again."""
        details = value["details"]
        return cls(
            client_id=value["client_id"],
            redirect_uri=value["redirect_uri"],
            scope=tuple(value["scope"]),
            state=value["state"],
            nonce=value["nonce"],
            code_challenge=value["code_challenge"],
            response_mode=value["response_mode"],
            prompt=frozenset(value["prompt"]),
            max_age=value["max_age"],
            acr_values=tuple(value["acr_values"]),
            login_hint=value["login_hint"],
            ui_locales=tuple(value["ui_locales"]),
            resources=tuple(value["resources"]),
            dpop_jkt=value["dpop_jkt"],
            details=None if details is None else tuple(details),
            id_token_hint=value["id_token_hint"],
        )


def read_authorization_request(
    parameters: Mapping[str, Any], *, resources: Sequence[str] = (), require_pkce: bool = True
) -> AuthorizationRequest:
    """Read the parameters of a request: form or query fields, or the claims of a request object.

    ``resources`` are the values of the one parameter that may repeat; a ``resource`` among the parameters
    (a request object's, a string or an array) takes their place. A parameter without a value counts as
    omitted (RFC 6749 section 3.1), an unknown one is ignored. ``require_pkce`` False admits a request
    without a challenge, for clients that cannot be changed. Raises OAuthError: ``invalid_request``,
    ``unsupported_response_type``, ``invalid_scope``, ``invalid_target`` or
    ``invalid_authorization_details``; no description repeats a value.
    """
    given = {name: value for name, value in parameters.items() if value != ""}
    if "request_uri" in given:
        raise invalid_request(
            "request_uri is not allowed in an authorization request.", pointer="request_uri"
        )
    _require_code(given)
    return AuthorizationRequest(
        client_id=_required(given, "client_id", MAX_CLIENT_ID_LENGTH),
        redirect_uri=_required(given, "redirect_uri", MAX_REDIRECT_URI_LENGTH),
        scope=_scope(given),
        state=_text(given, "state", MAX_STATE_LENGTH),
        code_challenge=_challenge(given, require_pkce=require_pkce),
        nonce=_text(given, "nonce", MAX_NONCE_LENGTH),
        response_mode=_response_mode(given),
        prompt=_prompt(given),
        max_age=_max_age(given),
        acr_values=_words(given, "acr_values"),
        login_hint=_text(given, "login_hint", MAX_WORDS_LENGTH),
        ui_locales=tuple(tag for tag in _words(given, "ui_locales") if _LANGUAGE.fullmatch(tag)),
        resources=_resources(given.get("resource", list(resources))),
        dpop_jkt=_thumbprint(given),
        details=read_details(given["authorization_details"]) if "authorization_details" in given else None,
        id_token_hint=_text(given, "id_token_hint", MAX_HINT_LENGTH),
    )


def _require_code(given: Mapping[str, Any]) -> None:
    if _text(given, "response_type", MAX_WORDS_LENGTH) != "code":
        raise OAuthError(
            "unsupported_response_type",
            "response_type must be code.",
            pointer="response_type",
            expected="code",
        )


def _text(given: Mapping[str, Any], name: str, max_length: int) -> str | None:
    """Give a string without control, direction or other invisible characters, or None when omitted."""
    if name not in given:
        return None
    value = given[name]
    if type(value) is not str or len(value) > max_length or not value.isprintable():
        raise invalid_request(f"{name} must be a string of at most {max_length} characters.", pointer=name)
    return value


def _required(given: Mapping[str, Any], name: str, max_length: int) -> str:
    value = _text(given, name, max_length)
    if value is None:
        raise invalid_request(f"{name} is missing.", pointer=name)
    return value


def _words(given: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((_text(given, name, MAX_WORDS_LENGTH) or "").split()))


def _scope(given: Mapping[str, Any]) -> tuple[str, ...]:
    value = given.get("scope", "")
    if type(value) is not str:
        raise invalid_request("scope must be a string.", pointer="scope")
    try:
        return parse_scope(value)
    except Rejected as refusal:
        raise invalid_scope(
            f"scope must be words with one space between, {MAX_SCOPE_LENGTH} characters in all."
        ) from refusal


def _challenge(given: Mapping[str, Any], *, require_pkce: bool) -> str | None:
    challenge, method = given.get("code_challenge"), given.get("code_challenge_method")
    if not require_pkce and "code_challenge" not in given and "code_challenge_method" not in given:
        return None
    check_challenge(challenge, method)
    return str(challenge)


def _response_mode(given: Mapping[str, Any]) -> ResponseMode:
    mode = RESPONSE_MODES.get(_text(given, "response_mode", MAX_WORDS_LENGTH) or "query")
    if mode is None:
        raise invalid_request("response_mode must be query or form_post.", pointer="response_mode")
    return mode


def _prompt(given: Mapping[str, Any]) -> frozenset[str]:
    prompt = frozenset(_words(given, "prompt"))
    if not prompt <= PROMPTS:
        raise invalid_request("prompt holds a word that is not known.", pointer="prompt")
    if "none" in prompt and len(prompt) > 1:
        raise invalid_request("prompt none stands alone.", pointer="prompt")
    return prompt


def _max_age(given: Mapping[str, Any]) -> int | None:
    if "max_age" not in given:
        return None
    value = given["max_age"]
    if type(value) is str and _DIGITS.fullmatch(value):
        value = int(value)
    if type(value) is not int or value < 0:
        raise invalid_request("max_age must be a whole number of seconds.", pointer="max_age")
    return min(value, _MAX_AGE)


def _resources(values: Any) -> tuple[str, ...]:
    if type(values) is str:
        values = [values]
    if type(values) is not list or len(values) > MAX_RESOURCES or not all(map(_is_resource, values)):
        raise OAuthError(
            "invalid_target",
            f"resource must be an absolute URI without a fragment, at most {MAX_RESOURCES} of them.",
            pointer="resource",
        )
    return tuple(dict.fromkeys(values))


def _is_resource(value: Any) -> bool:
    return type(value) is str and len(value) <= MAX_RESOURCE_LENGTH and _RESOURCE.fullmatch(value) is not None


def _thumbprint(given: Mapping[str, Any]) -> str | None:
    if "dpop_jkt" not in given:
        return None
    value = given["dpop_jkt"]
    if type(value) is not str or _THUMBPRINT.fullmatch(value) is None:
        raise invalid_request("dpop_jkt must be 43 characters of base64url, a SHA-256.", pointer="dpop_jkt")
    return value
