"""RFC 6749 §4.4: the client asks on its own behalf; nobody has logged in.

If it attests a practitioner, the enterprise vouches for that person, and the token says so.
"""

from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.grants.basis import Basis
from tillit_server.issuer.request import Request


def client_credentials(request: Request, authenticated: AuthenticatedClient) -> Basis:
    """The client's own registration is the basis."""
    del request  # this grant brings no ticket that would have to be looked up
    client = authenticated.client
    return Basis(subject=client.id, scopes=client.scopes, established_by="legal_entity")
