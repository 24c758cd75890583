"""To whom the token is bound: the DPoP proof of the request, by the client's profile (RFC 9449)."""

from tillit.protocol.dpop import Proof, check_proof
from tillit.protocol.errors import invalid_dpop_proof
from tillit.protocol.nonces import Nonces
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services


def require_proof(
    request: Request, authenticated: AuthenticatedClient, services: Services, now: float
) -> Proof | None:
    """The verified proof; None only for a client whose profile lets it take Bearer tokens.

    Raises ``OAuthError`` ``invalid_dpop_proof`` or ``use_dpop_nonce``.
    """
    client = authenticated.client
    if not request.dpop and not client.profile.dpop_required:
        return None
    return _checked(request, authenticated, services.nonces, now)


def offered_proof(request: Request, authenticated: AuthenticatedClient, now: float) -> Proof | None:
    """The verified proof of a request that needs none (RFC 9449 §10.1); no nonce is asked for.

    Raises ``OAuthError`` ``invalid_dpop_proof``.
    """
    return _checked(request, authenticated, None, now) if request.dpop else None


def _checked(
    request: Request, authenticated: AuthenticatedClient, nonces: Nonces | None, now: float
) -> Proof:
    client = authenticated.client
    proof = check_proof(
        request.dpop,
        method=request.method,
        url=request.endpoint,
        now=now,
        algorithms=client.algorithms,
        nonces=nonces,
    )
    if client.separate_dpop_key and shares_key(authenticated, proof):
        raise invalid_dpop_proof(
            "header.jwk: must differ from the client authentication key", pointer="header.jwk"
        )
    return proof


def shares_key(authenticated: AuthenticatedClient, proof: Proof) -> bool:
    """Whether the client proves possession with the key it authenticates with."""
    return authenticated.assertion.key.thumbprint == proof.jkt
