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
from tillit.client.grant import OPENID, Grant, identity_scope
from tillit.client.token_request import Token, read_object
from tillit.outbound.transport import Response
from tillit.protocol.authorization_response import redirect_location

PERSON = "helseid://claims/identity/pid"
"""The claim with the national number of whoever logged in; asked for by a scope of its own."""


class Session:
    """A practitioner who has logged in at the issuer. Made by `Login.finish`; threads may share it.

    Tokens are got with the refresh token, one request at a time, and kept until shortly before they expire.

    A login that carries its attestation is itself one patient's context: every token rests on it, and leaving
    the patient means `end`. Otherwise each patient gets a `patient_context`.
    """

    def __init__(self, client: Client, grant: Grant, resource: str | None) -> None:
        self._client = client
        self._grant = grant
        self._resource = resource
        self._tokens: dict[tuple[str | None, str | None], Token] = {}
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<Session {'ended' if self._grant.ended else 'open'}>"

    @property
    def claims(self) -> Mapping[str, Any]:
        """All that the ID token of the login says."""
        return self._grant.claims

    @property
    def attested(self) -> bool:
        """Whether the login carries its attestation."""
        return self._grant.attested

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

        `resource` is one of those the login asked for, by default the one it was finished for or else its
        first; `scope` may ask for less, and names the API where `resource` does not. Raises as `fetch_token`
        does.
        """
        if resource is None and scope is None:
            resource = self._resource
        with self._lock:
            token = self._tokens.pop((resource, scope), None)
            if token is None or not self._serves(token):
                token = self.fetch_token(resource=resource, scope=scope)
            self._tokens[resource, scope] = token
            return token

    def refresh(self) -> Token:
        """Get a new token for the default API, however good the old one still is."""
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
        return self._grant.refresh(scope=scope, resource=resource, details=to_details(attestation, details))

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
        """Ask the issuer about the person (OpenID Connect Core §5.3).

        Any token of this session serves that speaks of the person; without one, a token that opens no API is
        got. Raises `BadAnswer` when the answer is about somebody else, and as `token` does.
        """
        url = self._client.wire.discovery.endpoint("userinfo_endpoint")
        answer = self.request(
            "GET", url, self._token_about_person(), headers=(("Accept", "application/json"),)
        )
        about = read_object(answer)
        if about.get("sub") != self.subject:
            raise BadAnswer(BadAnswer.ANOTHER_SUBJECT, "the subject is not that of the ID token")
        return about

    def end_url(self, *, post_logout_redirect_uri: str | None = None, state: str | None = None) -> str:
        """Give the address at which the browser ends the session at the issuer (RP-Initiated Logout 1.0 §2).

        It names the session by its ID token, so that the issuer need not ask. Nothing is forgotten here:
        that is `end`. Raises `NotSent` when the session has ended.
        """
        parameters = {"id_token_hint": self._grant.id_token(), "client_id": self._client.client_id}
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
        refresh_token = self._grant.end()
        with self._lock:
            self._tokens.clear()
        if refresh_token is not None:
            self._client.revoke(refresh_token)

    def to_json(self) -> dict[str, Any]:
        """Give what another process needs for `Login.resume`: JSON values, to be kept as a secret.

        Access tokens stay here. Where the issuer exchanges refresh tokens, only one process may go on.
        """
        return {**self._grant.to_json(), "resource": self._resource}

    def keep(self, token: Token, *, resource: str | None, scope: str | None) -> None:
        """Keep the token that came with the login, as an answer to `token` with these arguments."""
        self._tokens[resource, scope] = token

    def _token_about_person(self) -> Token:
        with self._lock:
            kept = (token for token in self._tokens.values() if OPENID in token.scope and self._serves(token))
            return next(kept, None) or self.token(scope=identity_scope(self._grant.scope))

    def _serves(self, token: Token) -> bool:
        return self.clock() < token.expires_at - self.margin

    def _require_unattested(self) -> None:
        if self.attested:
            raise NotSent(NotSent.ATTESTED_AT_LOGIN, "this login carries its attestation")
