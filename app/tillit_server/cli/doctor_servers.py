"""What ``tillit doctor`` finds about the two servers, with a remedy where something is not as it should be.

Each is asked by a connection of its own, with the rights that the service has; nothing is changed.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tillit_server.config import Settings
    from tillit_server.signing.doctor import Finding

_A_LITTLE: Final = 2.0


def examine_servers(settings: "Settings") -> "Iterator[Finding]":
    """The findings about PostgreSQL and Redis, as far as the settings name them."""
    if settings.storage_url:
        from tillit_server.cli.doctor_database import examine_database

        yield from examine_database(settings, settings.storage_url)
    if settings.storage_shared_url and settings.storage_shared_url != "embedded":
        from tillit_server.cli.doctor_redis import examine_redis

        yield from examine_redis(settings.storage_shared_url)


def compare_clocks(what: str, apart: float) -> "Finding":
    """``apart``: seconds by which a server's clock is ahead of this host's."""
    from tillit_server.signing.doctor import Finding
    from tillit_server.storage.spending import TOLERANCE

    shown = f"{abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} this host's"
    if abs(apart) > TOLERANCE:
        return Finding("BAD", what, f"{shown}: nothing is settled until NTP keeps both")
    if abs(apart) > _A_LITTLE:
        return Finding("look", what, f"{shown}: see that NTP keeps both")
    return Finding("ok", what, "that of this host, within two seconds")
