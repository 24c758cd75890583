"""RFC 6749 §4.4: the client asks on its own behalf; nobody has logged in.

If it attests a practitioner, the enterprise vouches for that person, and the token says so.
"""

from typing import TYPE_CHECKING

from tillit_server.issuer.grants.basis import Basis

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


def client_credentials(known: "TokenFacts") -> Basis:
    """The client's own registration is the basis."""
    client = known.authenticated_client.client
    return Basis(subject=client.id, scopes=client.scopes, established_by="legal_entity")
