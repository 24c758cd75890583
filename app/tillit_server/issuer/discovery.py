"""What the issuer says about itself: metadata (RFC 8414, OpenID Connect Discovery), only what works."""

from collections.abc import Iterable, Mapping
from typing import Any

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from tillit.protocol.authorization_details import ATTESTATION_TYPE, JOURNAL_TYPE, ORGANISATION_TYPE
from tillit.protocol.jose import ALGORITHMS
from tillit_server.issuer.apis import STRUCTURE_SCOPES, ApiRegistry
from tillit_server.issuer.grants import GRANTS

TOKEN_PATH = "/connect/token"
OPENID_CONFIGURATION = "/.well-known/openid-configuration"
OAUTH_CONFIGURATION = "/.well-known/oauth-authorization-server"
JWKS_PATH = OPENID_CONFIGURATION + "/jwks"


def make_metadata(issuer: str, apis: ApiRegistry, signing_algorithms: Iterable[str]) -> Mapping[str, Any]:
    """The metadata document of ``issuer``; the same at both well-known places.

    It is judged by Authlib's RFC 8414 model, so that a document no client could use stops the start
    (raises ``ValueError``).
    """
    document: dict[str, Any] = {
        "issuer": issuer,
        "jwks_uri": issuer + JWKS_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "grant_types_supported": sorted(GRANTS),
        "scopes_supported": sorted({*STRUCTURE_SCOPES, *apis.by_scope}),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_details_types_supported": sorted((ATTESTATION_TYPE, JOURNAL_TYPE, ORGANISATION_TYPE)),
        # Members that OpenID Connect Discovery §3 demands of every provider, and clients refuse to miss.
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": sorted(set(signing_algorithms)),
    }
    # Loopback http is development mode's; the model knows https only.
    AuthorizationServerMetadata(
        {
            name: "https" + value.removeprefix("http") if str(value).startswith("http://") else value
            for name, value in document.items()
        }
    ).validate()
    return document
