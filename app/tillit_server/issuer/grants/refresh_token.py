"""RFC 6749 §6: a login goes on, for as long as its family lives.

A refresh token is bound to its client, not to the key of a proof: another key is accepted, binds the new
access token, and is written down (RFC 9449 §5, FAPI 2.0 §5.3.2.1). It stays the same from one use to the
next unless its client is set to rotate; then a retry with the old one gives the same new one until that is
used, and what comes back later ends the family (RFC 9700 §4.14).
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from tillit.protocol.errors import OAuthError, invalid_grant, invalid_request
from tillit_server.audit.event import Event
from tillit_server.audit.events import ProofKeyChanged
from tillit_server.issuer.families import Family, put_family, refresh_token_of
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.own_tokens import OwnRefreshToken, find_refresh_token
from tillit_server.issuer.reuse import Reused
from tillit_server.issuer.users import subject_of

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


def refresh_token(known: "TokenFacts") -> Basis:
    """The login that the family of the refresh token goes back to."""
    client = known.authenticated_client.client
    found = _find(known)
    authorized = found.family.authorized
    family, events = _as_used(found, known)
    head = found.generation + 1 if client.rotate_refresh_tokens else found.generation
    return Basis(
        subject=subject_of(authorized.user, client, known.services.subject_secret),
        scopes=client.scopes.intersection(authorized.scopes),
        established_by="login",
        authorized=authorized,
        resources=authorized.resources,
        not_after=family.expires_at,
        refresh_token=refresh_token_of(family, head),
        refresh_expires_at=family.expires_at,
        # Mostly nothing changes, and what does not change cannot lose a race.
        puts=() if family == found.family else (put_family(family, expect=found.version),),
        events=events,
    )


def _find(known: "TokenFacts") -> OwnRefreshToken:
    text = known.request.form.get("refresh_token")
    if text is None:
        raise invalid_request("refresh_token: missing", pointer="refresh_token")
    found = find_refresh_token(text, known.services)
    if found is None or found.family.authorized.client_id != known.authenticated_client.client.id:
        raise _not_good()
    if found.generation < found.family.generation:
        raise Reused("refresh_token", found.family.authorized.family)
    if not found.holds(known.now):
        raise _not_good()
    return found


def _not_good() -> OAuthError:
    return invalid_grant("refresh_token: unknown, revoked, too old, or not of this client")


def _as_used(found: OwnRefreshToken, known: "TokenFacts") -> tuple[Family, tuple[Event, ...]]:
    """The family after this use, and what is to be written down about it."""
    family, proof = found.family, known.fresh_proof
    jkt = proof.jkt if proof else ""
    changed = ProofKeyChanged(
        client_id=family.authorized.client_id,
        old_jkt=family.jkt,
        new_jkt=jkt,
        family=family.authorized.family,
    )
    used = replace(family, generation=found.generation, jkt=jkt)
    return used, () if jkt == family.jkt else (changed,)
