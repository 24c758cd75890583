"""What a login gave to go on with: a refresh token, an ID token, and what the latter says."""

import threading
from collections.abc import Mapping
from typing import Any

from tillit.client.errors import BadAnswer, NotSent
from tillit.client.id_tokens import IdTokens
from tillit.client.token_request import REFRESH_TOKEN, Granted, Token, read_grant_response, target_fields
from tillit.client.wire import Wire

OPENID = "openid"
OFFLINE_ACCESS = "offline_access"
_ABOUT_A_PERSON = frozenset({OPENID, OFFLINE_ACCESS, "profile", "email", "address", "phone"})
_NAMED_BY_HELSEID = "helseid://scopes/"


def identity_scope(scope: str) -> str:
    """Give the words of a scope that speak of the person and open no API but userinfo."""
    words = scope.split()
    return " ".join(w for w in words if w in _ABOUT_A_PERSON or w.startswith(_NAMED_BY_HELSEID))


class Grant:
    """The refreshing half of a session, as JSON values and back. Access tokens do not stay here.

    `scope` is what the login asked for, `attested` whether it carries its attestation.
    """

    def __init__(self, wire: Wire, id_tokens: IdTokens, value: Mapping[str, Any]) -> None:
        self.claims: Mapping[str, Any] = value["claims"]
        self.scope: str = value["scope"]
        self.attested: bool = value["attested"]
        self._wire = wire
        self._id_tokens = id_tokens
        self._id_token: str | None = value["id_token"]
        self._refresh_token: str | None = value["refresh_token"]
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Grant {'ended' if self.ended else 'open'}>"

    @property
    def ended(self) -> bool:
        """Whether there is nothing left to go on with."""
        return self._id_token is None

    def refresh(self, *, scope: str | None, resource: str | None, details: Any) -> Token:
        """Ask for one token with the refresh token (RFC 6749 §6), and keep what else comes with it.

        Raises `NotSent` when the session has ended or has nothing to refresh with, `ServerRefused`,
        `BadAnswer` or `Unreachable`.
        """
        # One at a time: a refresh token that is exchanged for a new one must not be used twice.
        with self._lock:
            self._require_open()
            if self._refresh_token is None:
                raise NotSent(NotSent.NO_REFRESH_TOKEN, f"{OFFLINE_ACCESS} was not granted to this login")
            fields = [
                ("grant_type", REFRESH_TOKEN),
                ("refresh_token", self._refresh_token),
                *target_fields(scope, resource),
            ]
            asked_at = self._wire.clock()
            answer = self._wire.post("token_endpoint", fields, details=details)
            granted = read_grant_response(answer, scope=scope or self.scope, now=asked_at)
            self._take_over(granted)
            return granted.token

    def id_token(self) -> str:
        """Give the newest ID token. Raises `NotSent` when the session has ended."""
        return str(self.to_json()["id_token"])

    def to_json(self) -> dict[str, Any]:
        """Give everything as JSON values. Raises `NotSent` when the session has ended."""
        with self._lock:
            self._require_open()
            return {
                "claims": dict(self.claims),
                "scope": self.scope,
                "attested": self.attested,
                "id_token": self._id_token,
                "refresh_token": self._refresh_token,
            }

    def end(self) -> str | None:
        """Forget both tokens, and give the refresh token to be revoked, if there is one."""
        with self._lock:
            refresh_token = self._refresh_token
            self._refresh_token = self._id_token = None
            return refresh_token

    def _take_over(self, granted: Granted) -> None:
        """Go on with what the answer brings; an ID token must be of the same login (OIDC Core §12.2)."""
        if granted.id_token is not None:
            fresh = self._id_tokens.check(granted.id_token, access_token=granted.token.value).claims
            logged_in = self.claims.get("auth_time")
            if fresh["sub"] != self.claims["sub"] or fresh.get("auth_time", logged_in) != logged_in:
                raise BadAnswer(BadAnswer.BAD_ID_TOKEN, "not of the same login")
            self._id_token = granted.id_token
        if granted.refresh_token is not None:
            self._refresh_token = granted.refresh_token

    def _require_open(self) -> None:
        if self.ended:
            raise NotSent(NotSent.SESSION_ENDED, "the session has ended")
