"""What the issuer says about itself (RFC 8414, OpenID Connect Discovery), and only what works."""

from collections.abc import Iterable, Mapping
from typing import Any

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from tillit.protocol.authorization_details import KNOWN_TYPES
from tillit.protocol.metadata import ENDPOINTS, make_metadata
from tillit_server.issuer.apis import STRUCTURE_SCOPES, ApiRegistry
from tillit_server.issuer.grants import GRANTS

TOKEN_PATH = ENDPOINTS["token_endpoint"]


def describe(issuer: str, apis: ApiRegistry, signing_algorithms: Iterable[str]) -> Mapping[str, Any]:
    """The metadata document of ``issuer``, the same at every well-known place.

    It is judged by Authlib's RFC 8414 model, so that a document no client could use stops the start.
    Raises ``ValueError``.
    """
    document = make_metadata(
        issuer,
        signing_algorithms=sorted(signing_algorithms),
        grant_types=sorted(GRANTS),
        scopes=sorted({*STRUCTURE_SCOPES, *apis.by_scope}),
        authorization_details_types=sorted(KNOWN_TYPES),
    )
    # Loopback http is development mode's; the model knows https only.
    AuthorizationServerMetadata(
        {
            name: "https" + value.removeprefix("http") if str(value).startswith("http://") else value
            for name, value in document.items()
        }
    ).validate()
    return document
