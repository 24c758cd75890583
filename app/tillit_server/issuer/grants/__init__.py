"""The grants: each answers one question, on what basis this token is asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from tillit_server.issuer.grants.basis import Grant
from tillit_server.issuer.grants.client_credentials import client_credentials

GRANTS: Mapping[str, Grant] = MappingProxyType({"client_credentials": client_credentials})
