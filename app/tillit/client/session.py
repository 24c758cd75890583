"""What follows a login: tokens for one API after another, and the end of it."""

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from tillit.attestation.model import Attestation
from tillit.attestation.rulebook import Circumstances
from tillit.client.attesting import Attest, Details, attest, to_details
from tillit.client.client import Client
from tillit.client.context import Context
from tillit.client.errors import BadAnswer, NotSent
from tillit.client.id_tokens import IdTokens
from tillit.client.token_request import (
    REFRESH_TOKEN,
    Granted,
    Token,
    read_grant_response,
    read_object,
    target_fields,
)
from tillit.outbound.transport import Response
from tillit.protocol.authorization_response import redirect_location

PERSON = "helseid://claims/identity/pid"
"""The claim with the national number of whoever logged in; asked for by a scope of its own."""


class Session:
    """A practitioner who has logged in at the issuer. Made by `Login.finish`; threads may share it.

    `subject` is the issuer's name for the person, `person` the national number where the login tells it,
    `claims` all that the ID token says. Tokens are got with the refresh token, one request at a time, and
    kept until shortly before they expire.

    A login that carries its attestation is itself one patient's context: every token rests on it, and leaving
    the patient means `end`. Otherwise each patient gets a `patient_context`.
    """

    def __init__(
        self,
        client: Client,
        id_tokens: IdTokens,
        *,
        claims: Mapping[str, Any],
        id_token: str,
        refresh_token: str | None,
        scope: str,
        resource: str | None,
        attested: bool,
    ) -> None:
        self.claims = claims
        self.attested = attested
        self._client = client
        self._id_tokens = id_tokens
        self._id_token: str | None = id_token
        self._refresh_token = refresh_token
        self._scope = scope
        self._resource = resource
        self._tokens: dict[tuple[str | None, str | None], Token] = {}
        self._ended = False
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<Session {'ended' if self._ended else 'open'}>"

    @property
    def subject(self) -> str:
        """The issuer's name for the person, the same at every login with this client."""
        return str(self.claims["sub"])

    @property
    def person(self) -> str | None:
        """The national number of the person, None where the login does not tell it."""
        return self.claims.get(PERSON)

    @property
    def margin(self) -> float:
        """Seconds before its expiry at which a token is no longer used."""
        return self._client.margin

    @property
    def renew_after(self) -> float:
        """Age in seconds at which a context attests anew."""
        return self._client.renew_after

    def clock(self) -> float:
        """Give the present moment in Unix seconds."""
        return self._client.clock()

    def token(self, *, resource: str | None = None, scope: str | None = None) -> Token:
        """Give a token for one API without a new attestation, a kept one while it is good.

        `resource` is one of those the login asked for, by default the one it was finished for; `scope` may
        ask for less. Raises as `fetch_token` does.
        """
        target = (resource or self._resource, scope)
        with self._lock:
            self._require_open()
            token = self._tokens.pop(target, None)
            if token is None or self.clock() >= token.expires_at - self.margin:
                token = self.fetch_token(resource=target[0], scope=scope)
            self._tokens[target] = token
            return token

    def refresh(self) -> Token:
        """Get a new token for the API the login was finished for, however good the old one still is."""
        with self._lock:
            self._tokens.pop((self._resource, None), None)
            return self.token()

    def patient_context(
        self,
        attestation: Attest,
        *,
        scope: str | None = None,
        resource: str | None = None,
        details: Details = (),
    ) -> Context:
        """Open an access context for one attestation. Use it in a `with` block: leaving forgets all of it.

        Its tokens rest on this login and on the attestation, which is sent in each request's assertion.
        """
        return Context(self, attestation, scope=scope, resource=resource or self._resource, details=details)

    def context(
        self, *, scope: str | None = None, resource: str | None = None, details: Details = ()
    ) -> Context:
        """Open a context without a new attestation, such as for another organisation by its `details`."""
        return Context(self, None, scope=scope, resource=resource or self._resource, details=details)

    def attest(self, source: Attest) -> Attestation:
        """Make an attestation for this moment and judge it as the consumer. Raises `NotSent`.

        It may leave the practitioner to the login. That it is about whoever logged in, at the level that
        demands (ATT-9, ATT-11), is the issuer's to judge.
        """
        self._require_unattested()
        now = self.clock()
        circumstances = Circumstances(
            now=now,
            carrier_iat=int(now),
            established_by="login",
            authenticated_person=self.person,
            synthetic_identifiers=self._client.synthetic_identifiers,
        )
        return attest(source, circumstances)

    def fetch_token(
        self,
        attestation: Attestation | None = None,
        *,
        scope: str | None = None,
        resource: str | None = None,
        details: Details = (),
    ) -> Token:
        """Ask for one token with the refresh token (RFC 6749 §6). Contexts call this; the token is not kept.

        Raises `NotSent` when the session has ended, has nothing to refresh with, or carries its attestation
        already; `ServerRefused`, `BadAnswer` or `Unreachable`.
        """
        if attestation is not None:
            self._require_unattested()
        # One at a time: a refresh token that is exchanged for a new one must not be used twice.
        with self._lock:
            self._require_open()
            if self._refresh_token is None:
                raise NotSent(NotSent.NO_REFRESH_TOKEN, "offline_access was not granted to this login")
            fields = [
                ("grant_type", REFRESH_TOKEN),
                ("refresh_token", self._refresh_token),
                *target_fields(scope, resource),
            ]
            asked_at = self.clock()
            answer = self._client.wire.post(
                "token_endpoint", fields, details=to_details(attestation, details)
            )
            granted = read_grant_response(answer, scope=scope or self._scope, now=asked_at)
            self._take_over(granted)
            return granted.token

    def request(
        self,
        method: str,
        url: str,
        token: Token,
        *,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Response:
        """Call an API with a token and a fresh proof: `Client.request`."""
        return self._client.request(method, url, token, headers=headers, body=body)

    def userinfo(self) -> Mapping[str, Any]:
        """Ask the issuer about the person (OpenID Connect Core §5.3), with the token of the login.

        Raises `BadAnswer` when the answer is about somebody else, and as `token` does.
        """
        url = self._client.wire.discovery.endpoint("userinfo_endpoint")
        answer = self.request("GET", url, self.token(), headers=(("Accept", "application/json"),))
        about = read_object(answer)
        if about.get("sub") != self.subject:
            raise BadAnswer(BadAnswer.ANOTHER_SUBJECT, "the subject is not that of the ID token")
        return about

    def end_url(self, *, post_logout_redirect_uri: str | None = None, state: str | None = None) -> str:
        """Give the address at which the browser ends the session at the issuer (RP-Initiated Logout 1.0 §2).

        It names the session by its ID token, so that the issuer need not ask. Nothing is forgotten here:
        that is `end`. Raises `NotSent` when the session has ended.
        """
        with self._lock:
            self._require_open()
            parameters = {"id_token_hint": self._id_token or "", "client_id": self._client.client_id}
        if post_logout_redirect_uri is not None:
            parameters["post_logout_redirect_uri"] = post_logout_redirect_uri
        if state is not None:
            parameters["state"] = state
        return redirect_location(self._client.wire.discovery.endpoint("end_session_endpoint"), parameters)

    def end(self) -> None:
        """Forget every token, and have the refresh token and all that came from it revoked.

        Everything is forgotten whatever the issuer says. Raises `ServerRefused`, `BadAnswer` or
        `Unreachable`.
        """
        with self._lock:
            refresh_token, self._ended = self._refresh_token, True
            self._refresh_token = self._id_token = None
            self._tokens.clear()
        if refresh_token is not None:
            self._client.revoke(refresh_token)

    def to_json(self) -> dict[str, Any]:
        """Give what another process needs for `Login.resume`: JSON values, to be kept as a secret.

        Access tokens stay here. Where the issuer exchanges refresh tokens, only one process may go on.
        """
        with self._lock:
            self._require_open()
            return {
                "claims": dict(self.claims),
                "id_token": self._id_token,
                "refresh_token": self._refresh_token,
                "scope": self._scope,
                "resource": self._resource,
                "attested": self.attested,
            }

    def keep(self, token: Token) -> None:
        """Keep the token that came with the login, for the API it was finished for."""
        self._tokens[self._resource, None] = token

    def _take_over(self, granted: Granted) -> None:
        """Go on with what the answer brings; an ID token must be of the same login (OIDC Core §12.2)."""
        if granted.id_token is not None:
            fresh = self._id_tokens.check(granted.id_token, access_token=granted.token.value).claims
            logged_in = self.claims.get("auth_time")
            if fresh["sub"] != self.subject or fresh.get("auth_time", logged_in) != logged_in:
                raise BadAnswer(BadAnswer.BAD_ID_TOKEN, "not of the same login")
            self._id_token = granted.id_token
        if granted.refresh_token is not None:
            self._refresh_token = granted.refresh_token

    def _require_open(self) -> None:
        if self._ended:
            raise NotSent(NotSent.SESSION_ENDED, "the session has ended")

    def _require_unattested(self) -> None:
        if self.attested:
            raise NotSent(NotSent.ATTESTED_AT_LOGIN, "this login carries its attestation")
