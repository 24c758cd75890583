"""How often somebody may ask: limits for each client, once it has proven itself, and for each address before.

The library ``limits`` counts, in fixed windows; where it counts is a storage of its own kind. A limiter that
cannot count lets a request through: it keeps the careless from each other and is no judge. Whatever must be
sure (single use, the audit) is judged elsewhere, and fails closed.
"""

import ipaddress
import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tillit.protocol.errors import OAuthError
from tillit_server.issuer.shared_limits import SharedLimits
from tillit_server.metrics import Meters
from tillit_server.storage.spending import CountTogether

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.storage import Storage
    from limits.strategies import FixedWindowRateLimiter

_log = logging.getLogger("tillit.limits")

LIMITED: Final = "temporarily_unavailable"
_IPV6_SITE: Final = 64
_KNOWN: Final = 4096
_LONGEST: Final = 64  # characters of an address

LIMITED_CLIENTS: Final = frozenset({"token", "par", "introspection", "revocation", "client_secret"})
"""Endpoints at which a client proves itself; ``explain`` has a limit of its own."""
LIMITED_ADDRESSES: Final = LIMITED_CLIENTS | {
    "authorize", "login", "callback", "end_session", "userinfo", "explain", "metadata", "jwks",
}  # fmt: skip

CLIENT_LIMITS: Final = (
    "token=60000/minute",
    "par=6000/minute",
    "introspection=60000/minute",
    "client_secret=60/minute",
)
ADDRESS_LIMITS: Final = (
    "token=60000/minute",
    "par=6000/minute",
    "authorize=600/minute",
    "introspection=60000/minute",
    "explain=600/minute",
    "client_secret=600/minute",
)
"""Defaults, of each worker: what no honest sender reaches, since thousands may sit behind one address."""

Limits = Mapping[str, "RateLimitItem"]


def parse_limits(words: Iterable[str], known: Collection[str]) -> dict[str, "RateLimitItem"]:
    """``token=600/minute`` for each endpoint of ``known`` that has a limit. Raises ``ValueError``."""
    from limits import parse  # noqa: PLC0415, commands count nothing, and it takes long to load

    found: dict[str, RateLimitItem] = {}
    for word in words:
        endpoint, _, limit = word.partition("=")
        if endpoint not in known or endpoint in found:
            raise ValueError(f"{endpoint} is unknown, or given twice")
        found[endpoint] = parse(limit)
        if not found[endpoint].amount:
            raise ValueError(f"{endpoint} could never be asked")
    return found


def limit_faults(client: Iterable[str], address: Iterable[str], trusted: Iterable[str]) -> list[str]:
    """What is wrong with the settings of these names, a line each; shipped values are right."""
    faults: list[str] = []
    words = (
        ("client_limits", client, CLIENT_LIMITS, LIMITED_CLIENTS),
        ("address_limits", address, ADDRESS_LIMITS, LIMITED_ADDRESSES),
    )
    for name, limits, shipped, known in words:
        try:
            if limits not in ((), shipped):
                parse_limits(limits, known)
        except ValueError:
            faults.append(f"{name}: ENDPOINT=NUMBER/minute needed, of {', '.join(sorted(known))}")
    try:
        Addresses(trusted)
    except ValueError:
        faults.append("trusted_proxies: IP addresses or networks needed")
    return faults


def rate_limits(
    client: Iterable[str],
    address: Iterable[str],
    names: Mapping[str, str],
    meters: Meters,
    together: CountTogether | None,
) -> "RateLimits":
    """The limits that the settings name, counted by this worker, and ``together`` with others."""
    return RateLimits(
        parse_limits(client, LIMITED_CLIENTS),
        parse_limits(address, LIMITED_ADDRESSES),
        names=names,
        meters=meters,
        shared=SharedLimits(together) if together else None,
    )


def _limiter(storage: "Storage | None") -> "FixedWindowRateLimiter":
    from limits.strategies import FixedWindowRateLimiter  # noqa: PLC0415, as above

    from tillit_server.issuer.worker_memory import WorkerMemory  # noqa: PLC0415, as above

    return FixedWindowRateLimiter(storage or WorkerMemory())


class RateLimits:
    """The limits of an installation.

    ``per_client``, ``per_address``: by the name of an endpoint; ``names``: of paths. ``storage`` counts;
    ``now`` is the clock by which its windows end. ``shared``: what other workers count, too.
    """

    def __init__(
        self,
        per_client: Limits = MappingProxyType({}),
        per_address: Limits = MappingProxyType({}),
        *,
        names: Mapping[str, str] = MappingProxyType({}),
        storage: "Storage | None" = None,
        now: Callable[[], float] = time.monotonic,
        meters: Meters | None = None,
        shared: SharedLimits | None = None,
    ) -> None:
        self.shared = shared
        self._limits = {"client": dict(per_client), "address": dict(per_address)}
        self._names = names
        self._limiter = _limiter(storage) if per_client or per_address else None
        self._now = now
        self._meters = meters or Meters()
        self._away = False

    def tick(self) -> None:
        """A chore of every second: tell others what was counted here, and hear from them."""
        if self.shared is not None:
            self.shared.tell()

    def require_client(self, url: str, client_id: str) -> None:
        """Count a request of a client that has proven itself.

        Raises ``OAuthError`` (429, with ``Retry-After``).
        """
        if self._limits["client"]:
            self._take("client", self._names.get(urlsplit(url).path, ""), client_id)

    def require_address(self, path: str, address: str | None) -> None:
        """Count a request from an address, before anything of it is read. Raises as ``require_client``."""
        if address is not None and self._limits["address"]:
            self._take("address", self._names.get(path, ""), address)

    def _take(self, of: str, endpoint: str, who: str) -> None:
        limit = self._limits[of].get(endpoint)
        if limit is None or self._limiter is None:
            return
        name = f"{of} {endpoint}"
        try:
            left = self._left(self._limiter, limit, name, who)
        except Exception as error:  # noqa: BLE001 (whatever it is: a limiter is no reason to refuse a patient)
            self._meters.limited(name, "unjudged")
            if not self._away:
                self._away = True
                _log.error("limits cannot be counted, all pass", exc_info=error)
            return
        self._away = False
        if left is None:
            return
        self._meters.limited(name, "refused")
        wait = str(max(1, min(int(left) + 1, limit.get_expiry())))
        raise OAuthError(
            LIMITED, f"too many requests by this {of}", status=429, headers=(("Retry-After", wait),)
        )

    def _left(
        self, limiter: "FixedWindowRateLimiter", limit: "RateLimitItem", name: str, who: str
    ) -> float | None:
        """Count; the seconds until the window ends if that is one too many."""
        if not limiter.hit(limit, name, who):
            return limiter.get_window_stats(limit, name, who).reset_time - self._now()
        return self.shared.take(limit, name, who) if self.shared else None


class Addresses:
    """Whose address a request came from: the peer's, or what a proxy that we trust says in its header.

    ``trusted``: networks of proxies, which set ``X-Forwarded-For``. Nothing but limits ever asks for this.
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        """Raises ``ValueError`` for what is no network."""
        self._trusted = tuple(ipaddress.ip_network(network) for network in trusted)
        # The same few come again and again, and to take one apart costs more than to count it.
        self._known = lru_cache(_KNOWN)(self._look_at)

    def of(self, environ: Mapping[str, str]) -> str | None:
        """The address to count by, or None where there is none that tells anybody from anybody else.

        Read from the right: what stands left of the first that is no proxy's was written by the sender.
        Without a trusted proxy a peer on loopback is a proxy that was not named: everybody would be one.
        """
        site, proxy = self._known(environ.get("REMOTE_ADDR", ""))
        if proxy:
            for text in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
                site, proxy = self._known(text.strip()[:_LONGEST])
                if not proxy:
                    break
        return site

    def passed(self, environ: Mapping[str, str]) -> bool:
        """Whether the request was passed on by a proxy that we trust."""
        return self._known(environ.get("REMOTE_ADDR", ""))[1]

    def _look_at(self, text: str) -> tuple[str | None, bool]:
        """By which address to count, if ``text`` tells one, and whether it is a proxy's that we trust."""
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            return None, False
        address = getattr(found, "ipv4_mapped", None) or found
        if any(address in network for network in self._trusted):
            return None, True
        return (None if address.is_loopback and not self._trusted else _site(address)), False


def _site(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Whoever has one IPv6 address has the others of its network too."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((int(address), _IPV6_SITE), strict=False))
