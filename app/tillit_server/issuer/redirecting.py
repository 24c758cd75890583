"""Where a browser may be sent: exactly where the client has said, and nowhere else (RFC 9700 §4.1).

A native client cannot know its port beforehand; its loopback URIs are good with any (RFC 8252 §7.3).
"""

import re

from tillit_server.issuer.clients import Client

_LOOPBACK = re.compile(
    r"(?P<host>http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?].*)?",
    re.ASCII,
)
_MAX_PORT = 65_535


def may_return_to(client: Client, redirect_uri: str) -> bool:
    """Whether ``redirect_uri`` is one of the client's, byte for byte but for the port of a native client."""
    if redirect_uri in client.redirect_uris:
        return True
    if not client.native:
        return False
    without_port = _without_port(redirect_uri)
    return without_port is not None and without_port in map(_without_port, client.redirect_uris)


def _without_port(uri: str) -> str | None:
    """A loopback URI without its port; None for every other URI."""
    match = _LOOPBACK.fullmatch(uri)
    if match is None:
        return None
    port = match["port"]
    if port is not None and (port.startswith("0") or int(port) > _MAX_PORT):
        return None
    return match["host"] + (match["rest"] or "")
