"""What every grant answers with."""

from collections.abc import Callable
from dataclasses import dataclass

from tillit_server.issuer.attesting import EstablishedBy
from tillit_server.issuer.client_authentication import AuthenticatedClient
from tillit_server.issuer.request import Request


@dataclass(frozen=True, slots=True)
class Basis:
    """On what basis a token is asked for.

    ``subject``: the token's ``sub``. ``scopes``: the most it may be granted.
    ``user``: whether somebody has logged in; identity scopes need that.
    """

    subject: str
    scopes: frozenset[str]
    established_by: EstablishedBy
    user: bool = False


Grant = Callable[[Request, AuthenticatedClient], Basis]
