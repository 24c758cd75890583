"""What a client gets for a good token request (RFC 6749 §5.1), member by member."""

from typing import TYPE_CHECKING, Any

from tillit_server.issuer.grants.token_exchange import ACCESS_TOKEN_TYPE

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


def token_answer(known: "TokenFacts") -> dict[str, Any]:
    """The members of the answer; what has no value is left out, never null."""
    minted, target, basis = known.minted_tokens, known.narrowed_scope, known.basis_of_grant
    body: dict[str, Any] = {
        "access_token": minted.token,
        "expires_in": minted.expires_in,
        "token_type": "DPoP" if known.fresh_proof else "Bearer",
        "scope": " ".join(target.scopes),
    }
    if target.rejected:
        body["rejected_scope"] = " ".join(target.rejected)
    if basis.subject_token is not None:
        body["issued_token_type"] = ACCESS_TOKEN_TYPE
        return body
    if known.id_token is not None:
        body["id_token"] = known.id_token
    if basis.refresh_token is not None and basis.refresh_expires_at is not None:
        body["refresh_token"] = basis.refresh_token
        body["rt_expires_in"] = basis.refresh_expires_at - int(known.now)
    if basis.authorized is not None and basis.authorized.carried is not None:
        # RFC 9396 §7: as they were sent
        body["authorization_details"] = list(basis.authorized.carried.details)
    return body
