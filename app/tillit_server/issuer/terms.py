"""Terms of use: a supplier's client gets no scope whose terms its customer has not accepted.

The other scopes are granted, and the answer names the ones left out (``rejected_scope``).
"""

from dataclasses import replace
from typing import Any

from tillit.attestation.registers import RegisterUnavailable
from tillit.protocol.authorization_details import ATTESTATION_TYPE, ORGANISATION_TYPE
from tillit.protocol.errors import OAuthError, invalid_scope
from tillit_server.issuer.attesting import register_away
from tillit_server.issuer.authorized import Authorized
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.details import details_of
from tillit_server.issuer.organisations import named_parent
from tillit_server.issuer.services import Services
from tillit_server.issuer.target import Target


def within_terms(
    target: Target,
    authenticated: AuthenticatedClient,
    authorized: Authorized | None,
    services: Services,
    now: float,
) -> Target:
    """``target`` without the scopes that the organisation behind the request may not use yet.

    Raises ``OAuthError``: ``invalid_scope`` when no scope of the API is left, ``temporarily_unavailable``.
    """
    if authenticated.client.tenancy != "multi":
        return target
    number = _acts_for(authenticated, authorized)
    if number is None:
        return target
    try:
        missing = services.registers.membership.membership(number, now).scopes_without_terms
    except RegisterUnavailable as error:
        raise register_away(error) from error
    rejected = tuple(scope for scope in target.scopes if scope in missing)
    if not rejected:
        return target
    left = tuple(scope for scope in target.scopes if scope not in missing)
    if services.apis.by_scope.keys().isdisjoint(left):
        raise invalid_scope("scope: the organisation has not accepted the terms of use")
    return replace(target, scopes=left, rejected=rejected)


def _acts_for(authenticated: AuthenticatedClient, authorized: Authorized | None) -> str | None:
    """The organisation that is named; whether it may be is judged with the attestation."""
    try:
        sent = details_of(authenticated)
    except OAuthError:
        return None
    carried = authorized.carried.details if authorized is not None and authorized.carried else ()
    by_type = {detail["type"]: detail for detail in (*carried, *sent)}
    parent = named_parent(by_type.get(ORGANISATION_TYPE))
    return parent or _text_at(by_type.get(ATTESTATION_TYPE), "practitioner", "legal_entity", "id")


def _text_at(node: Any, *path: str) -> str | None:
    for member in path:
        node = node.get(member) if isinstance(node, dict) else None
    return node if isinstance(node, str) else None
