"""The grants: each answers one question, on what basis this token is asked for."""

from collections.abc import Mapping
from types import MappingProxyType

from tillit_server.issuer.grants.authorization_code import authorization_code
from tillit_server.issuer.grants.basis import Grant
from tillit_server.issuer.grants.client_credentials import client_credentials
from tillit_server.issuer.grants.refresh_token import refresh_token
from tillit_server.issuer.grants.token_exchange import GRANT_TYPE as TOKEN_EXCHANGE
from tillit_server.issuer.grants.token_exchange import token_exchange

GRANTS: Mapping[str, Grant] = MappingProxyType(
    {
        "authorization_code": authorization_code,
        "client_credentials": client_credentials,
        "refresh_token": refresh_token,
        TOKEN_EXCHANGE: token_exchange,
    }
)
