"""Every URL of the public port, on one page, below the path of the issuer. Loads no framework."""

from typing import Final

from tillit.protocol.metadata import ENDPOINTS, JWKS_PATH, OAUTH_PATH, OPENID_PATH
from tillit_server.issuer.client_secret import CLIENT_SECRET_PATH
from tillit_server.issuer.discovery import TOKEN_PATH
from tillit_server.issuer.login.pushed_requests import PAR_PATH

AUTHORIZE_PATH: Final = ENDPOINTS["authorization_endpoint"]
LOGIN_PATH: Final = "/connect/login"
CALLBACK_PATH: Final = "/connect/login/callback"
CANCEL_PATH: Final = "/connect/login/cancel"
END_SESSION_PATH: Final = ENDPOINTS["end_session_endpoint"]
USERINFO_PATH: Final = ENDPOINTS["userinfo_endpoint"]
INTROSPECTION_PATH: Final = ENDPOINTS["introspection_endpoint"]
REVOCATION_PATH: Final = ENDPOINTS["revocation_endpoint"]
EXPLAIN_PATH: Final = "/explain"
STYLE_PATH: Final = "/connect/tillit.css"
ICON_PATH: Final = "/connect/tillit.svg"

PAGES: Final = frozenset({AUTHORIZE_PATH, LOGIN_PATH, CALLBACK_PATH, CANCEL_PATH, END_SESSION_PATH})
"""Where people are; to open one may end a login or a session."""

_JUDGED = (
    TOKEN_PATH,
    PAR_PATH,
    USERINFO_PATH,
    INTROSPECTION_PATH,
    REVOCATION_PATH,
    EXPLAIN_PATH,
    CLIENT_SECRET_PATH,
)
_NAMES = {
    TOKEN_PATH: "token",
    PAR_PATH: "par",
    AUTHORIZE_PATH: "authorize",
    LOGIN_PATH: "login",
    CALLBACK_PATH: "callback",
    CANCEL_PATH: "cancel",
    END_SESSION_PATH: "end_session",
    USERINFO_PATH: "userinfo",
    INTROSPECTION_PATH: "introspection",
    REVOCATION_PATH: "revocation",
    EXPLAIN_PATH: "explain",
    CLIENT_SECRET_PATH: "client_secret",
    OPENID_PATH: "metadata",
    JWKS_PATH: "jwks",
}


def judged_paths(path: str) -> tuple[str, ...]:
    """Where programs are judged, as against pages and documents. ``path``: of the issuer."""
    return tuple(path + url for url in _JUDGED)


def endpoint_names(path: str) -> dict[str, str]:
    """What each path is called in the metrics; what is not among them is ``other``."""
    return {path + url: name for url, name in _NAMES.items()} | {OAUTH_PATH + path: "metadata"}
