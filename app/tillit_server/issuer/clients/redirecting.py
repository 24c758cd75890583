"""Where a browser may be sent: exactly where the client has said, and nowhere else (RFC 9700 §4.1).

A native client cannot know its port beforehand; its loopback URIs are good with any (RFC 8252 §7.3).
"""

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tillit_server.issuer.clients.client import Client

MAX_LENGTH: Final = 2048
_WEB = re.compile(r"https://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[1-9][0-9]{0,4})?(?P<rest>[/?].*)?", re.ASCII)
# RFC 3986 without what reads as a wildcard; a fragment never comes back to us (RFC 6749 §3.1.2).
_REST = re.compile(r"(?:[A-Za-z0-9._~!$&'()+,;=:@/?-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_DOTS = frozenset({".", ".."})
_LOOPBACK = re.compile(
    r"(?P<host>http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?",
    re.ASCII,
)
_MAX_PORT = 65_535


def may_return_to(client: "Client", redirect_uri: str) -> bool:
    """Whether ``redirect_uri`` is one of the client's, byte for byte but for the port of a native client."""
    if redirect_uri in client.redirect_uris:
        return True
    if not client.native:
        return False
    without_port = _without_port(redirect_uri)
    return without_port is not None and without_port in map(_without_port, client.redirect_uris)


def is_loopback(uri: str) -> bool:
    """Whether ``uri`` stays on the machine of the browser, and may therefore do without TLS."""
    return _LOOPBACK.fullmatch(uri) is not None


def fault_of(uri: object) -> str | None:
    """What keeps ``uri`` from being registered (FAPI 2.0 Security Profile §5.3.2.2-8), or None."""
    if not isinstance(uri, str) or not 0 < len(uri) <= MAX_LENGTH:
        return f"1 to {MAX_LENGTH} characters needed"
    if "#" in uri or "*" in uri:
        return "no fragment and no wildcard"
    match = _LOOPBACK.fullmatch(uri) or _WEB.fullmatch(uri)
    if match is None:
        return "https and a host in lower case needed, or http and a loopback address"
    rest = match["rest"] or ""
    path = re.sub("%2e", ".", rest.partition("?")[0], flags=re.IGNORECASE)
    if not _REST.fullmatch(rest) or not _DOTS.isdisjoint(path.split("/")):
        return "characters or path segments that not everybody reads alike"
    return None


def _without_port(uri: str) -> str | None:
    """A loopback URI without its port; None for every other URI."""
    match = _LOOPBACK.fullmatch(uri)
    if match is None:
        return None
    port = match["port"]
    if port is not None and (port.startswith("0") or int(port) > _MAX_PORT):
        return None
    return match["host"] + (match["rest"] or "")
