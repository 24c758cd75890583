"""Logging in at the issuer: pushed request, browser, callback, code (RFC 9126, RFC 6749 §4.1, OIDC Core)."""

import contextlib
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from tillit.attestation.model import Attestation
from tillit.attestation.rulebook import Circumstances
from tillit.client.attesting import Attest, Details, attest
from tillit.client.authorization import carried_details, plain_fields, signed_fields
from tillit.client.client import Client
from tillit.client.errors import BadAnswer, ClientError, NotSent, ServerRefused
from tillit.client.grant import OFFLINE_ACCESS, OPENID, Grant, identity_scope
from tillit.client.id_tokens import IdTokens
from tillit.client.session import PERSON, Session
from tillit.client.token_request import (
    AUTHORIZATION_CODE,
    Granted,
    read_grant_response,
    read_object,
    target_fields,
)
from tillit.protocol.authorization_response import check_authorization_response, redirect_location
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.jose import ALGORITHMS
from tillit.protocol.pkce import METHOD, challenge_of, make_verifier

_CREATED = 201
_LONGEST_URI = 2048

Person = str | Callable[[Mapping[str, Any]], bool] | None
"""Who is logged in at the EHR: a national number, a function that knows them by the ID token's claims, or
None where nobody is."""
Callback = Mapping[str, str] | Iterable[tuple[str, str]] | str
"""Parameters of the callback: a mapping, pairs, or the query (or form body) as it came."""


class Login:
    """How practitioners of one EHR log in. Made of its `Client`; threads may share it.

    `scope` must hold `openid`, and `offline_access` for more than the first token. `resources`, if there are
    any, are the only APIs that tokens may be asked for (RFC 8707 §2.1). With `signed`, requests are signed
    objects (RFC 9101) also when they carry no attestation. `defaults` are further parameters of every
    request, such as `acr_values`.

    Every request is pushed and bound to the client's proof key, so that processes which begin and finish each
    other's logins need the same `dpop_key`.
    """

    def __init__(
        self,
        client: Client,
        redirect_uri: str,
        *,
        scope: str,
        resources: Sequence[str] = (),
        signed: bool = False,
        id_token_algorithms: Collection[str] = ALGORITHMS,
        **defaults: str,
    ) -> None:
        if OPENID not in scope.split():
            raise ValueError("scope: openid is needed to know who has logged in")
        self._client = client
        self._redirect_uri = redirect_uri
        self._scope = scope
        self._resources = tuple(resources)
        self._default_resource = next(iter(resources), None)
        self._signed = signed
        self._defaults = defaults
        self._id_tokens = IdTokens(client.wire, id_token_algorithms)

    def begin(
        self,
        *,
        attestation: Attest | None = None,
        details: Details = (),
        max_age: int | None = None,
        **parameters: str,
    ) -> tuple[str, dict[str, Any]]:
        """Push a request, and give the address for the browser and what `finish` needs, as JSON values.

        Keep the latter where only this browser's callback finds it, in the EHR's own session. An
        `attestation` given here goes into every token of the login, `details` beside it; they are signed.
        `max_age` is in seconds; `parameters` are `prompt`, `acr_values`, `login_hint`, `ui_locales`,
        `response_mode`. Raises `NotSent`, `ServerRefused`, `BadAnswer` or `Unreachable`.
        """
        wire = self._client.wire
        verifier, state, nonce = make_verifier(), secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        request: dict[str, Any] = {
            **self._defaults,
            **parameters,
            "response_type": "code",
            "redirect_uri": self._redirect_uri,
            "scope": self._scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": METHOD,
            "dpop_jkt": wire.dpop_key.public.thumbprint,
        }
        if max_age is not None:
            request["max_age"] = max_age
        begun_at = self._client.clock()
        attested = None if attestation is None else self._attest(attestation, begun_at)
        carried = carried_details(attested, details)
        if carried or self._signed:
            fields = signed_fields(wire, request, self._resources, carried)
        else:
            fields = plain_fields(request, self._resources)
        answer = wire.post("pushed_authorization_request_endpoint", fields, prove=False)
        address = self._address(read_object(answer, _CREATED))
        return address, {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "jkt": request["dpop_jkt"],
            "begun_at": begun_at,
            "max_age": max_age,
            "attested": attestation is not None,
        }

    def finish(
        self,
        pending: Mapping[str, Any],
        parameters: Callback,
        *,
        person: Person,
        resource: str | None = None,
    ) -> Session:
        """Take the callback of a login that was begun, and open the session.

        `person` says who is logged in at the EHR: it must be who has logged in at the issuer (ATT-9), or what
        came is revoked. The first token is for `resource`. Without one it is for userinfo alone, where the
        login can go on from there: each API gets its own token when it is needed, with an attestation where
        it demands one. A login that cannot, or that carries its attestation, begins with its first API, which
        is also the one the session goes on with where no other is named.

        Raises `BadAnswer` when the callback is not the answer to this login or another person has logged in,
        `ServerRefused` when the issuer refused, in the browser (`access_denied`, `login_required`) or at the
        token endpoint, `NotSent` or `Unreachable`.
        """
        wire = self._client.wire
        if pending["jkt"] != wire.dpop_key.public.thumbprint:
            raise NotSent(NotSent.ANOTHER_KEY, "the login was begun with another proof key")
        resource, scope = self._first_target(resource, attested=pending["attested"])
        fields = [
            ("grant_type", AUTHORIZATION_CODE),
            ("code", self._code(pending, parameters)),
            ("redirect_uri", self._redirect_uri),
            ("code_verifier", pending["verifier"]),
            *target_fields(scope, resource),
        ]
        asked_at = self._client.clock()
        answer = wire.post("token_endpoint", fields)
        granted = read_grant_response(answer, scope=scope or self._scope, now=asked_at)
        try:
            claims = self._claims(pending, granted, person)
        except ClientError:
            self._give_back(granted)
            raise
        session = self.resume(
            {
                "claims": claims,
                "id_token": granted.id_token,
                "refresh_token": granted.refresh_token,
                "scope": self._scope,
                "resource": resource or self._default_resource,
                "attested": pending["attested"],
            }
        )
        session.keep(granted.token, resource=resource, scope=scope)
        return session

    def resume(self, value: Mapping[str, Any]) -> Session:
        """Open a session again from `Session.to_json`, which is trusted: nothing is checked again."""
        grant = Grant(self._client.wire, self._id_tokens, value)
        return Session(self._client, grant, value["resource"])

    def _claims(self, pending: Mapping[str, Any], granted: Granted, person: Person) -> Mapping[str, Any]:
        """Check who has logged in."""
        id_token = self._id_tokens.check(
            granted.id_token,
            nonce=pending["nonce"],
            max_age=self._age_now(pending),
            access_token=granted.token.value,
        )
        if not _is_same(person, id_token.claims):
            raise BadAnswer(BadAnswer.ANOTHER_PERSON, "not the person who is logged in here")
        return id_token.claims

    def _give_back(self, granted: Granted) -> None:
        """Have what will not be used revoked, if the issuer can be reached; it expires in any case."""
        with contextlib.suppress(ClientError):
            if granted.refresh_token is not None:
                self._client.revoke(granted.refresh_token)
            else:
                self._client.revoke(granted.token.value, hint="access_token")

    def _first_target(self, resource: str | None, *, attested: bool) -> tuple[str | None, str | None]:
        """Resource and scope of the first token; a server that knows no scope in that request ignores it."""
        if resource is None and not attested and OFFLINE_ACCESS in self._scope.split():
            return None, identity_scope(self._scope)
        return resource or self._default_resource, None

    def _attest(self, source: Attest, now: float) -> Attestation:
        """Judge as the consumer what is known before anybody has logged in."""
        circumstances = Circumstances(
            now=now,
            carrier_iat=int(now),
            established_by="login",
            synthetic_identifiers=self._client.synthetic_identifiers,
        )
        return attest(source, circumstances)

    def _address(self, answer: Mapping[str, Any]) -> str:
        uri = answer.get("request_uri")
        if not isinstance(uri, str) or not 0 < len(uri) <= _LONGEST_URI:
            raise BadAnswer(BadAnswer.NO_REQUEST_URI)
        endpoint = self._client.wire.discovery.endpoint("authorization_endpoint")
        return redirect_location(endpoint, {"client_id": self._client.client_id, "request_uri": uri})

    def _code(self, pending: Mapping[str, Any], parameters: Callback) -> str:
        if isinstance(parameters, str):
            parameters = parse_qsl(parameters.removeprefix("?"), keep_blank_values=True)
        try:
            return check_authorization_response(
                parameters, issuer=self._client.issuer, state=pending["state"]
            )
        except Rejected as rejected:
            raise BadAnswer(BadAnswer.NOT_THIS_LOGIN, str(rejected)) from rejected
        except OAuthError as refusal:
            raise ServerRefused(refusal.code, refusal.description, 0) from refusal

    def _age_now(self, pending: Mapping[str, Any]) -> int | None:
        """Seconds ago that the person may have logged in at most; the wait at the issuer does not count."""
        if pending["max_age"] is None:
            return None
        return int(pending["max_age"] + max(0, self._client.clock() - pending["begun_at"])) + 1


def _is_same(person: Person, claims: Mapping[str, Any]) -> bool:
    if person is None:
        return True
    return person(claims) if callable(person) else person == claims.get(PERSON)
