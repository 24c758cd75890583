"""The ID token: to a client that has asked for a login, who it was and how (OpenID Connect Core §2)."""

from typing import TYPE_CHECKING

from tillit.protocol.id_token import TYP, id_token_claims
from tillit_server.issuer.minting import identity_claims

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts

LEVEL = "Level"
"""``acr`` is this word and the security level, as clients ask for it in ``acr_values``."""


def make_id_token(known: "TokenFacts") -> str | None:
    """A signed ID token beside the access token of ``known``; None where nobody asked for one.

    It tells what the whole login was asked for, whatever this access token is narrowed to. Raises
    ``OAuthError`` ``temporarily_unavailable`` when HPR must be asked and does not answer.
    """
    basis, services = known.basis_of_grant, known.services
    authorized = basis.authorized
    if authorized is None or not basis.identifies:
        return None
    client, user = known.authenticated_client.client, authorized.user
    algorithm = client.id_token_signed_response_alg
    claims = id_token_claims(
        issuer=services.issuer,
        subject=basis.subject,
        client_id=client.id,
        now=known.now,
        lifetime=services.lifetimes.id_token,
        nonce=basis.nonce,
        auth_time=user.auth_time,
        access_token=known.minted_tokens.token,
        algorithm=algorithm,
        sid=authorized.sid,
        claims={
            "acr": LEVEL + user.security_level,
            "idp": user.idp,
            **({"amr": list(user.amr)} if user.amr else {}),
            **identity_claims(basis.scopes, user, client, services),
        },
    )
    return services.signer.sign(TYP, claims, algorithm)[0]
