"""Ids that somebody has spent: a look that spares work, and the refusal of whoever is not the first."""

from tillit.protocol.dpop import Proof
from tillit.protocol.errors import OAuthError, invalid_client, invalid_dpop_proof
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import ASSERTION, single_use_ids


def require_unseen(authenticated: AuthenticatedClient, proof: Proof | None, services: Services) -> None:
    """Refuse a request whose ids are spent, before it costs anything; settle stays the judge.

    The ids of a request are spent together and looked at together: a request that is sent again while it is
    being settled has always spent its first id too, so every loser hears the same. Raises ``OAuthError``.
    """
    assertion = authenticated.assertion
    if services.refusals.exhausted(assertion.client_id, assertion.jti):
        raise invalid_client("the assertion was refused too often", pointer="client_assertion.jti")
    spent = services.store.first_seen(single_use_ids(authenticated, proof))
    if spent is not None:
        raise replayed(spent.space)


def replayed(space: str) -> OAuthError:
    """The refusal for an id that somebody has spent: the caller itself, or a thief."""
    if space == ASSERTION:
        return invalid_client("the assertion was used before", pointer="client_assertion.jti")
    return invalid_dpop_proof("payload.jti: the proof was used before", pointer="payload.jti")
