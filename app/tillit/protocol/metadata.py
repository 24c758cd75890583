"""Authorization server metadata (RFC 8414, OpenID Connect Discovery 1.0 section 3)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from tillit.protocol.authorization_request import RESPONSE_MODES
from tillit.protocol.errors import Rejected
from tillit.protocol.jose import ALGORITHMS

OPENID_PATH: Final = "/.well-known/openid-configuration"
OAUTH_PATH: Final = "/.well-known/oauth-authorization-server"

# endpoint member -> path below the issuer
ENDPOINTS: Final[Mapping[str, str]] = {
    "authorization_endpoint": "/connect/authorize",
    "token_endpoint": "/connect/token",
    "userinfo_endpoint": "/connect/userinfo",
    "end_session_endpoint": "/connect/endsession",
    "pushed_authorization_request_endpoint": "/connect/par",
    "introspection_endpoint": "/connect/introspect",
    "revocation_endpoint": "/connect/revocation",
}
JWKS_PATH: Final = "/.well-known/openid-configuration/jwks"
SOURCE_HEADER: Final = "Tillit-Source"
"""In a request for the key set: the audience of the document source that fetches it, if it likes."""
EXPIRED_JWKS_PATH: Final = "/connect/expiredjwks"
IDPS_PATH: Final = "/connect/availableidps"
DETAILS_METADATA_PATH: Final = "/connect/authorizationdetails"

# member that names a published document -> path below the issuer
DOCUMENTS: Final[Mapping[str, str]] = {
    "expired_jwks_uri": EXPIRED_JWKS_PATH,
    "available_idps": IDPS_PATH,
    "authorization_details_types_metadata_endpoint": DETAILS_METADATA_PATH,
}
_PATHS: Final = {**ENDPOINTS, **DOCUMENTS}

_STRINGS: Final = (
    "response_types_supported",
    "response_modes_supported",
    "prompt_values_supported",
    "acr_values_supported",
    "ui_locales_supported",
    "grant_types_supported",
    "scopes_supported",
    "claims_supported",
    "subject_types_supported",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "id_token_signing_alg_values_supported",
    "dpop_signing_alg_values_supported",
    "request_object_signing_alg_values_supported",
    "introspection_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_signing_alg_values_supported",
    "introspection_signing_alg_values_supported",
    "revocation_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_signing_alg_values_supported",
    "authorization_details_types_supported",
)
_ALGORITHM_LISTS: Final = tuple(name for name in _STRINGS if "_signing_alg_values_" in name)
# A published client library copies these from the document into its requests.
_NEVER: Final = frozenset(
    {"response_mode", "nonce", "prompt", "login_hint", "scope", "code_challenge_method"}
)
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def make_metadata(
    issuer: str,
    *,
    endpoints: Collection[str] = ("token_endpoint",),
    algorithms: Sequence[str] = ALGORITHMS,
    signing_algorithms: Sequence[str] = ("ES256",),
    id_token_algorithms: Sequence[str] | None = None,
    request_object_algorithms: Sequence[str] | None = None,
    grant_types: Sequence[str] = ("client_credentials",),
    scopes: Sequence[str] = (),
    claims: Sequence[str] = (),
    subject_types: Sequence[str] = ("public",),
    prompt_values: Sequence[str] = ("none", "login", "consent", "select_account"),
    acr_values: Sequence[str] = (),
    ui_locales: Sequence[str] = (),
    require_pushed_requests: bool = True,
    authorization_details_types: Sequence[str] = (),
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the document for both well-known places; only what ``endpoints`` names is advertised.

    ``endpoints`` are names of ``ENDPOINTS`` and ``DOCUMENTS``. ``algorithms`` are those taken from clients,
    ``request_object_algorithms`` the same for request objects (default ``algorithms``),
    ``signing_algorithms`` those of our own tokens, ``id_token_algorithms`` of ID tokens (default
    ``signing_algorithms``). ``extra`` adds or replaces members. Raises ValueError for an issuer or member
    that must not be published.
    """
    location(issuer, OAUTH_PATH)
    document: dict[str, Any] = {
        "issuer": issuer,
        "jwks_uri": issuer + JWKS_PATH,
        **{name: issuer + _PATHS[name] for name in endpoints},
        "response_types_supported": ["code"],
        "grant_types_supported": list(grant_types),
        "subject_types_supported": list(subject_types),
        "scopes_supported": list(scopes),
        "claims_supported": list(claims),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(algorithms),
        "id_token_signing_alg_values_supported": list(id_token_algorithms or signing_algorithms),
        "dpop_signing_alg_values_supported": list(algorithms),
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_details_types_supported": list(authorization_details_types),
    }
    if "authorization_endpoint" in endpoints:
        document |= {
            "response_modes_supported": list(RESPONSE_MODES),
            "prompt_values_supported": list(prompt_values),
            "acr_values_supported": list(acr_values),
            "ui_locales_supported": list(ui_locales),
            "claims_parameter_supported": False,
            "authorization_response_iss_parameter_supported": True,
        }
    if "pushed_authorization_request_endpoint" in endpoints:
        document |= {
            "require_pushed_authorization_requests": require_pushed_requests,
            "request_parameter_supported": True,
            "request_object_signing_alg_values_supported": list(request_object_algorithms or algorithms),
        }
    for name in ("introspection_endpoint", "revocation_endpoint"):
        if name in endpoints:
            document[f"{name}_auth_methods_supported"] = ["private_key_jwt"]
            document[f"{name}_auth_signing_alg_values_supported"] = list(algorithms)
    if "introspection_endpoint" in endpoints:
        document["introspection_signing_alg_values_supported"] = list(signing_algorithms)
    document |= extra or {}
    # RFC 8414 section 3.2: members without elements are left out
    document = {name: value for name, value in document.items() if value != []}
    if not _NEVER.isdisjoint(document):
        raise ValueError(f"members that break clients: {', '.join(sorted(_NEVER.intersection(document)))}")
    return document


def check_metadata(document: Any, issuer: str) -> dict[str, Any]:
    """Check a fetched document as a client or resource server (RFC 8414 section 3.3). Raises Rejected.

    The issuer must be the configured one, character for character; every address must be https (plain
    http only on loopback); lists must be lists of strings, and no list of algorithms may offer ``none``.
    """
    if type(document) is not dict:
        raise Rejected("not a JSON object", "metadata")
    if document.get("issuer") != issuer:
        raise Rejected("from another issuer", "issuer", expected=issuer, found=document.get("issuer"))
    for name in ("token_endpoint", "jwks_uri"):
        if name not in document:
            raise Rejected("missing", name)
    for name, value in document.items():
        if name.endswith("_endpoint") or name in {"jwks_uri", "expired_jwks_uri"}:
            _require_address(name, value)
    _require_lists(document)
    return document


def location(issuer: str, suffix: str) -> str:
    """Give the address of a well-known document of an issuer, which may have a path.

    RFC 8414 section 3.1 puts its suffix between host and path, OpenID Connect Discovery section 4.1 after
    the path. Raises ValueError when the issuer is none (RFC 8414 section 2): no query, fragment or user
    information, no slash at the end.
    """
    parts = urlsplit(issuer)
    if (
        parts.scheme not in {"https", "http"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
        or issuer.endswith(("/", "?", "#"))
    ):
        raise ValueError("not an issuer identifier")
    if suffix == OAUTH_PATH:
        return f"{parts.scheme}://{parts.netloc}{suffix}{parts.path}"
    return f"{issuer}{suffix}"


def _require_address(name: str, value: Any) -> None:
    if type(value) is not str:
        raise Rejected("not an address", name)
    try:
        parts = urlsplit(value)
        host = parts.hostname
    except ValueError:
        raise Rejected("not an address", name) from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise Rejected("not an https address", name, found=value)


def _require_lists(document: Mapping[str, Any]) -> None:
    for name in _STRINGS:
        values = document.get(name, [])
        if type(values) is not list or not all(type(value) is str for value in values):
            raise Rejected("not an array of strings", name)
    for name in _ALGORITHM_LISTS:
        if any(value.lower() == "none" for value in document.get(name, [])):
            raise Rejected("offers unsigned tokens", name)
