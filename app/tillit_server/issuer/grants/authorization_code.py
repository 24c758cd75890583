"""RFC 6749 §4.1.3: a code, redeemed once, by the client that asked for it, with what only that client has."""

from typing import TYPE_CHECKING

from tillit.protocol.errors import OAuthError, invalid_dpop_proof, invalid_grant, invalid_request
from tillit.protocol.pkce import check_verifier
from tillit_server.issuer.apis import MAX_TOKEN_LIFETIME
from tillit_server.issuer.codes import CODE, Code
from tillit_server.issuer.families import Family, new_family_key, put_family, refresh_token_of
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.reuse import Reused
from tillit_server.issuer.users import subject_of
from tillit_server.storage.ports import Redemption

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts

OFFLINE_ACCESS = "offline_access"
_MAX_LENGTH = 128


def authorization_code(known: "TokenFacts") -> Basis:
    """The login that the code stands for; the family of everything that comes of it begins here."""
    client, services = known.authenticated_client.client, known.services
    text, code = _find(known)
    _require_bindings(known, code)
    authorized = code.authorized
    scopes = client.scopes.intersection(authorized.scopes)
    refreshes = OFFLINE_ACCESS in scopes and "refresh_token" in client.grants
    lifetime = client.refresh_token_lifetime or services.lifetimes.refresh
    proof = known.fresh_proof
    family = Family(
        authorized,
        # Without a refresh token nothing will follow, and this token's life is not decided yet.
        expires_at=int(known.now) + (lifetime if refreshes else MAX_TOKEN_LIFETIME),
        key=new_family_key(),
        jkt=proof.jkt if proof else "",
    )
    return Basis(
        subject=subject_of(authorized.user, client, services.subject_secret),
        scopes=scopes,
        established_by="login",
        authorized=authorized,
        resources=authorized.resources,
        not_after=family.expires_at,
        nonce=authorized.nonce,
        refresh_token=refresh_token_of(family, family.generation) if refreshes else None,
        refresh_expires_at=family.expires_at if refreshes else None,
        redemptions=(Redemption(CODE, text, {"family": authorized.family}, family.expires_at),),
        puts=(put_family(family, expect=0),),
    )


def not_good() -> OAuthError:
    """One answer for a code that is unknown, too old, or another client's: guessing teaches nothing."""
    return invalid_grant("code: unknown, used, too old, or not of this client")


def _find(known: "TokenFacts") -> tuple[str, Code]:
    text = known.request.form.get("code")
    if text is None:
        raise invalid_request("code: missing", pointer="code")
    ticket = known.services.store.tickets.peek(CODE, text) if len(text) <= _MAX_LENGTH else None
    if ticket is None:
        raise not_good()
    if ticket.redeemed:
        raise Reused("code", ticket.value["family"])
    code = Code.from_json(ticket.value)
    if code.authorized.client_id != known.authenticated_client.client.id:
        raise not_good()
    return text, code


def _require_bindings(known: "TokenFacts", code: Code) -> None:
    form, proof = known.request.form, known.fresh_proof
    # Every request here names its redirect URI, so it must be named again (RFC 6749 §4.1.3).
    if form.get("redirect_uri") != code.redirect_uri:
        raise invalid_grant("redirect_uri: not the one of the authorization request")
    check_verifier(form.get("code_verifier"), code.code_challenge)
    if code.dpop_jkt is not None and (proof is None or proof.jkt != code.dpop_jkt):
        raise invalid_dpop_proof("the code is bound to another key", pointer="header.jwk")
