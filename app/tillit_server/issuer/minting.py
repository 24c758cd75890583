"""What the access token says: which claims an API gets, and for how long; and what a client gets to know."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tillit.attestation.registers import RegisterUnavailable
from tillit.attestation.rulebook import RULE_PACK_VERSION
from tillit.protocol.access_token import access_token_claims
from tillit.protocol.errors import OAuthError, invalid_grant
from tillit.quick import quick
from tillit_server.issuer.apis import Api
from tillit_server.issuer.attesting import Attested, register_away
from tillit_server.issuer.claims import (
    ASSURANCE_LEVEL,
    ATTESTATION_CLAIM,
    CLAIMS_OF_SCOPE,
    CLIENT_NAME,
    CLIENT_TENANCY,
    ESTABLISHED_BY,
    HPR_NUMBER,
    JOURNAL_ID,
    ORGNR_CHILD,
    ORGNR_PARENT,
    ORGNR_SUPPLIER,
    PID,
    PID_PSEUDONYM,
    RULE_PACK,
    SECURITY_LEVEL,
)
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.services import Services
from tillit_server.issuer.target import Target
from tillit_server.issuer.users import User, subject_of

_ASSURANCE = {"2": "low", "3": "substantial", "4": "high"}


@quick
@dataclass(frozen=True, slots=True)
class MintedToken:
    """A signed access token, not yet settled, and what the answer and the audit say about it."""

    token: str
    kid: str
    jti: str
    expires_at: int
    expires_in: int
    claims: dict[str, Any]


def token_lifetime(target: Target, attested: Attested, basis: Basis, now: float) -> int:
    """Seconds a token lives: as its API says, never longer than its attestation (ATT-58b) or its basis."""
    lifetime = target.api.token_lifetime
    if attested.expires_at is not None:
        lifetime = min(lifetime, attested.expires_at - int(now))
    return lifetime if basis.not_after is None else min(lifetime, basis.not_after - int(now))


def mint_access_token(
    client: Client,
    target: Target,
    attested: Attested,
    services: Services,
    now: float,
    *,
    basis: Basis,
    jkt: str | None,
) -> MintedToken:
    """Sign an access token for ``target`` (RFC 9068), bound to ``jkt``.

    It never outlives its attestation (ATT-58b), nor what it rests on. Raises ``OAuthError`` when less than a
    second would be left.
    """
    lifetime = token_lifetime(target, attested, basis, now)
    if lifetime < 1:
        raise _no_time_left(attested, now)
    claims = access_token_claims(
        issuer=services.issuer,
        subject=basis.subject,
        audience=target.api.audience,
        client_id=client.id,
        scope=target.scopes,
        now=now,
        lifetime=lifetime,
        jkt=jkt,
        claims={
            "client_amr": "private_key_jwt",
            **_of_user(target.api, basis, client, services),
            **_asked_for(client, target.api, attested, basis),
        },
    )
    token, kid = services.signer.sign("at+jwt", claims, target.api.signing_algorithm)
    return MintedToken(token, kid, claims["jti"], claims["exp"], lifetime, claims)


def _no_time_left(attested: Attested, now: float) -> OAuthError:
    if attested.expires_at is not None and attested.expires_at - int(now) < 1:
        return OAuthError(
            "invalid_authorization_details",
            "ATT-58: toa: attestation_has_expired: no lifetime is left for a token",
            rule="ATT-58",
            pointer="/toa",
        )
    return invalid_grant("no lifetime is left for a token")


def identity_claims(
    scopes: Collection[str], user: User, client: Client, services: Services
) -> dict[str, Any]:
    """What an ID token or userinfo says about ``user``, by ``scopes``, beside ``sub`` and its login.

    A claim without a value is left out. Raises ``OAuthError`` ``temporarily_unavailable`` when HPR must be
    asked and does not answer.
    """
    wanted = {claim for scope in scopes for claim in CLAIMS_OF_SCOPE.get(scope, ())}
    return _claims_about(user, wanted, subject_of(user, client, services.subject_secret), services)


def _claims_about(user: User, wanted: Collection[str], subject: str, services: Services) -> dict[str, Any]:
    """Those of the claims ``wanted`` that have a value for ``user``, who is ``subject`` to the reader."""
    available = {
        "name": user.name,
        "given_name": user.given_name,
        "middle_name": user.middle_name,
        "family_name": user.family_name,
        PID: user.pid,
        SECURITY_LEVEL: user.security_level,
        PID_PSEUDONYM: subject,
        ASSURANCE_LEVEL: _ASSURANCE.get(user.security_level),
    }
    if HPR_NUMBER in wanted:
        try:
            person = services.registers.hpr.person(user.pid)
        except RegisterUnavailable as error:
            raise register_away(error) from error
        available[HPR_NUMBER] = person.hpr_number if person else None
    return {name: value for name, value in available.items() if value and name in wanted}


def _of_user(api: Api, basis: Basis, client: Client, services: Services) -> dict[str, Any]:
    """Who has logged in and how, as far as ``api`` has registered for it; and who acts for whom."""
    claims: dict[str, Any] = {}
    authorized, subject_token = basis.authorized, basis.subject_token
    if authorized is not None:
        user = authorized.user
        login = {"auth_time": user.auth_time, "idp": user.idp, "amr": list(user.amr), "sid": authorized.sid}
        claims = {name: value for name, value in login.items() if name in api.claims}
        claims |= _claims_about(user, api.claims, basis.subject, services)
    if subject_token is not None:
        actor = {"iss": services.issuer, "sub": client.id, "client_id": client.id}
        if client.tenancy == "single":
            actor[ORGNR_PARENT] = client.legal_entities[0]
        claims["act"] = actor if subject_token.act is None else {**actor, "act": subject_token.act}
    return claims


def _asked_for(client: Client, api: Api, attested: Attested, basis: Basis) -> dict[str, Any]:
    """The claims that ``api`` has registered for, and no others (data minimisation)."""
    organisations = attested.organisations
    parent, child = organisations.parent, organisations.child
    # In an exchange the attestation is the first client's, the organisation the actor's.
    if attested.attestation is not None and basis.subject_token is None:
        practitioner = attested.attestation.practitioner
        parent = parent or practitioner.legal_entity.id
        point_of_care = practitioner.point_of_care.id
        child = child or (point_of_care if point_of_care != parent else None)
    available = {
        CLIENT_NAME: client.name or None,
        CLIENT_TENANCY: f"{client.tenancy}-tenant",
        ORGNR_PARENT: parent,
        ORGNR_CHILD: child,
        ORGNR_SUPPLIER: organisations.supplier,
        JOURNAL_ID: attested.journal_id,
    }
    claims: dict[str, Any] = {
        name: value for name, value in available.items() if value is not None and name in api.claims
    }
    if attested.claim is not None and api.attestation != "none":
        claims[ESTABLISHED_BY] = basis.established_by
        claims[RULE_PACK] = RULE_PACK_VERSION
        claims[ATTESTATION_CLAIM] = attested.claim
    return claims
