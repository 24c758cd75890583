"""What the issuer says about itself (RFC 8414, OpenID Connect Discovery), and only what works."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from tillit.protocol.authorization_details import KNOWN_TYPES
from tillit.protocol.jose import ALGORITHMS
from tillit.protocol.metadata import DOCUMENTS, ENDPOINTS, make_metadata
from tillit_server.issuer.apis import STRUCTURE_SCOPES, ApiRegistry
from tillit_server.issuer.claims import (
    CLAIMS_OF_SCOPE,
    CLIENT_NAME,
    CLIENT_TENANCY,
    JOURNAL_ID,
    ORGNR_CHILD,
    ORGNR_PARENT,
    ORGNR_SUPPLIER,
)
from tillit_server.issuer.grants import GRANTS
from tillit_server.issuer.hpr_details import HPR_DETAILS
from tillit_server.issuer.login.idps import IdpRegistry

TOKEN_PATH: Final = ENDPOINTS["token_endpoint"]
ACR_VALUES: Final = ("Level3", "Level4")
LOCALES: Final = ("nb", "en")

# What a token or userinfo may say of a person and a login, beside what its scopes stand for.
_OF_A_LOGIN: Final = ("sub", "auth_time", "acr", "amr", "idp", "sid")
_OF_A_CLIENT: Final = (CLIENT_NAME, CLIENT_TENANCY, ORGNR_PARENT, ORGNR_CHILD, ORGNR_SUPPLIER, JOURNAL_ID)


def describe(issuer: str, apis: ApiRegistry, signing_algorithms: Iterable[str]) -> Mapping[str, Any]:
    """The metadata document of ``issuer``, the same at every well-known place.

    It is judged by Authlib's RFC 8414 model, so that a document no client could use stops the start.
    Raises ``ValueError``.
    """
    signing = sorted(signing_algorithms)
    document = make_metadata(
        issuer,
        endpoints=(*ENDPOINTS, *DOCUMENTS),
        signing_algorithms=signing,
        # Clients that need RS256 are let have it one by one; OpenID Connect wants the list to say so.
        request_object_algorithms=(*ALGORITHMS, *(["RS256"] if "RS256" in signing else [])),
        grant_types=sorted(GRANTS),
        scopes=sorted({"openid", "offline_access", *CLAIMS_OF_SCOPE, *STRUCTURE_SCOPES, *apis.by_scope}),
        claims=[*_OF_A_LOGIN, *_of_scopes(), HPR_DETAILS, *_OF_A_CLIENT],
        subject_types=("pairwise",),
        acr_values=ACR_VALUES,
        ui_locales=LOCALES,
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


def available_idps(idps: IdpRegistry) -> Mapping[str, Any]:
    """The identity providers that ``acr_values`` can name, as ``idp:NAME``."""
    return {
        "idps": [
            {
                "name": idp.name,
                "display_name": idp.title,
                "acr_values": f"idp:{idp.name}",
                "security_levels": sorted(set(idp.levels.values())),
            }
            for idp in idps
        ]
    }


def _of_scopes() -> list[str]:
    return [claim for claims in CLAIMS_OF_SCOPE.values() for claim in claims]
