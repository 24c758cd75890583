"""Where a request may go when somebody else has named the address (threat K6).

Public addresses only, and private networks that an installation lists. A name is judged by what it resolves
to, at the time of each request: a name that was harmless yesterday may point inwards today.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL: Final = 2048
LOOPBACK: Final[tuple[Network, ...]] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
MAY_BE_LISTED: Final[tuple[Network, ...]] = tuple(
    map(ip_network, ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)
"""Private use (RFC 1918, 4193) and shared (RFC 6598): what an installation may list networks of."""

# IANA's special-purpose registries (RFC 6890), multicast and the future use of class E. Written down here
# because ``is_global`` of the standard library differs between its releases.
_SPECIAL_V4: Final = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
# Everything outside is no global unicast: mapped and translated IPv4 (::ffff:0:0/96, 64:ff9b::/96), loopback,
# link-local, multicast and the rest.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)

_PRINTABLE: Final = re.compile(r"[!-~]+", re.ASCII)
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
# What some programs read as an address in one number, in octal or in hexadecimal (WHATWG URL §3.5).
_NUMBER: Final = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far requests go: public addresses, ``networks``, and loopback (http too) if ``plain_loopback``."""

    networks: tuple[Network, ...] = ()
    plain_loopback: bool = False

    def admits(self, address: str) -> bool:
        """Whether a request may go to ``address``, an IP address as a resolver gives it."""
        try:
            judged = ip_address(address)
        except ValueError:
            return False
        listed = (*self.networks, *(LOOPBACK if self.plain_loopback else ()))
        return _is_public(judged) or any(judged in network for network in listed)

    def fault_of(self, url: object) -> str | None:
        """What keeps ``url`` from being asked before any name is resolved, or None; never quotes the URL."""
        if not isinstance(url, str) or len(url) > MAX_URL or not _PRINTABLE.fullmatch(url) or "\\" in url:
            return f"a URL of 1 to {MAX_URL} printable ASCII characters needed"
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return "not a URL"
        if "@" in parts.netloc or "#" in url:
            return "no user information and no fragment"
        if port == 0 or not _is_plain_host(host, parts):
            return "a host in lower case needed, or an address in its usual form"
        if parts.scheme == "https" or (parts.scheme == "http" and self.plain_loopback and _is_loopback(host)):
            return None
        return "https needed" + (", or http on loopback" if self.plain_loopback else "")


def read_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """The private networks an installation lists. Raises ``ValueError`` with a reason."""
    networks: list[Network] = []
    for text in texts:
        try:
            network = ip_network(text)
        except ValueError:
            raise ValueError(f"{text} is not a network such as 10.20.0.0/16") from None
        if not any(_is_within(network, private) for private in MAY_BE_LISTED):
            raise ValueError(f"{text} is not within a private network: {', '.join(map(str, MAY_BE_LISTED))}")
        networks.append(network)
    return tuple(networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _is_plain_host(host: str, parts: SplitResult) -> bool:
    """Whether everybody reads ``host`` alike: a name, or an address that comes out as it went in."""
    spelled = f"[{host}]" if ":" in host else host
    if parts.netloc.removesuffix(f":{parts.port}") != spelled:  # urlsplit reads more than others would
        return False
    try:
        return str(ip_address(host)) == host
    except ValueError:
        return bool(_NAME.fullmatch(host) and not _NUMBER.fullmatch(host.rpartition(".")[2]))


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return any(address in network for network in LOOPBACK)


def _is_within(network: Network, private: Network) -> bool:
    # Two versions cannot be compared, and the type checker cannot see that they are the same.
    if isinstance(network, IPv4Network):
        return isinstance(private, IPv4Network) and network.subnet_of(private)
    return isinstance(private, IPv6Network) and network.subnet_of(private)
