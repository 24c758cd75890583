"""What a refusal leaves behind: a line in the log, and an entry (known client) or a count (stranger)."""

import logging

from tillit.protocol.access_token import AccessToken
from tillit.protocol.key_quality import PRIVATE_MEMBERS
from tillit_server.audit.events import PrivateKeyExposed, RegisterUnavailable, ResourceRefused, TokenRefused
from tillit_server.issuer.answers import log_refusal
from tillit_server.issuer.attesting import REGISTER_AWAY
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.services import Services
from tillit_server.issuer.steps import Facts, Finding, NotYetKnown
from tillit_server.storage.ports import StorageUnavailable

_log = logging.getLogger("tillit.refusals")

# A proof whose jwk holds its private key: whoever sees the request has that key.
_PRIVATE_MEMBERS = frozenset(f"jwk.{name}" for name in PRIVATE_MEMBERS)


def record_refusal(finding: Finding, error_id: str, services: Services, known: Facts | None = None) -> None:
    """Write down the refusal of ``known``.

    A refusal promises nothing to anybody, so it stands even when the store is away (the log says so).
    """
    authenticated = _authenticated(known)
    client_id = authenticated.client.id if authenticated else None
    log_refusal(finding, error_id, client_id)
    services.meters.refused(finding.step, finding.code, known=authenticated is not None)
    try:
        owner = None if authenticated else _owner(known)
        if owner is not None:
            _record_at_a_resource(finding, error_id, services, owner)
            return
        if authenticated is None:
            services.refusals.count(finding.step, finding.code)
            return
        services.refusals.record(
            TokenRefused(
                step=finding.step,
                rule=finding.rule,
                code=finding.code,
                error_id=error_id,
                pointer=finding.pointer or None,
                expected=finding.expected,
                found=finding.found,
                client_id=authenticated.client.id,
                assertion_jti=authenticated.assertion.jti,
                clock_difference=finding.clock_difference,
            )
        )
        if finding.pointer in _PRIVATE_MEMBERS:
            services.audit.record(
                PrivateKeyExposed(where="dpop", client_id=client_id, jkt=None), durable=False
            )
        if finding.rule == REGISTER_AWAY:
            services.audit.record(
                RegisterUnavailable(register=finding.detail, client_id=client_id), durable=False
            )
    except StorageUnavailable as error:
        _log.warning(
            "refusal not in the audit", extra={"event": {"error_id": error_id, "reason": str(error)}}
        )


def _record_at_a_resource(finding: Finding, error_id: str, services: Services, token: AccessToken) -> None:
    """What a client with a good token was refused at one of our own resources."""
    services.refusals.record(
        ResourceRefused(
            client_id=token.client_id,
            token_jti=token.jti,
            step=finding.step,
            code=finding.code,
            error_id=error_id,
            pointer=finding.pointer or None,
        )
    )
    if finding.pointer in _PRIVATE_MEMBERS:
        exposed = PrivateKeyExposed(where="registration", client_id=token.client_id, jkt=None)
        services.audit.record(exposed, durable=False)


def _owner(known: Facts | None) -> AccessToken | None:
    """The token whose owner asks, proven by its key; whoever only shows a token may have found it."""
    try:
        token: AccessToken | None = known.own_token.access if known and known.bound_proof else None
    except NotYetKnown:
        return None
    return token


def _authenticated(known: Facts | None) -> AuthenticatedClient | None:
    if known is None:
        return None
    try:
        found = known.authenticated_client
    except NotYetKnown:
        return None
    return found if isinstance(found, AuthenticatedClient) else None
