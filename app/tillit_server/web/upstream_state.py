"""What is remembered of a login at a provider: in the store, for every worker, and in no cookie."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tillit_server.issuer.login.idps import Idp
from tillit_server.issuer.services import Services
from tillit_server.storage.ports import Conflict

STATE: Final = "upstream_state"
"""The space of what is remembered, by its ``state``."""
_TRIES: Final = 20  # at one login, while its provider is away


class ProviderAway(Exception):
    """The provider cannot be asked just now; nothing was consumed."""

    def __init__(self, idp: str, reason: str) -> None:
        super().__init__(f"{idp}: {reason}")


@dataclass(frozen=True, slots=True)
class Pending:
    """A login at a provider that has begun: what comes back with ``state`` belongs to ``interaction``."""

    state: str
    idp: Idp
    interaction: str
    remembered: Mapping[str, Any] = field(repr=False)


class TicketCache:
    """The store's tickets as the cache that Authlib's clients keep their state in, for every worker.

    A ticket is redeemed for good, so what is remembered once more lies in the next one of its key.
    """

    def __init__(self, services: Services) -> None:
        self._tickets = services.store.tickets
        self._clock = services.clock

    def get(self, key: str) -> str | None:
        """The value, as long as it is good."""
        for name in _names(key):
            ticket = self._tickets.peek(STATE, name)
            if ticket is None or not ticket.redeemed:
                return None if ticket is None else str(ticket.value)
        return None

    def set(self, key: str, value: str, expires_in: int) -> None:
        """Remember a value for so many seconds."""
        for name in _names(key):
            if self._tickets.peek(STATE, name) is None:
                self._tickets.issue(STATE, name, value, self._clock() + expires_in)
                return

    def delete(self, key: str) -> None:
        """Forget it. Raises ``Conflict`` for everybody but the first."""
        for name in _names(key):
            ticket = self._tickets.peek(STATE, name)
            if ticket is None or not ticket.redeemed:
                self._tickets.redeem(STATE, name)
                return
        raise Conflict(STATE)


def _names(key: str) -> Iterator[str]:
    """The keys of the tickets for ``key``, one after the other."""
    yield key
    for number in range(1, _TRIES):
        yield f"{key}~{number}"


class _NoSession(dict[str, Any]):
    """Stands where Authlib looks for Flask's session: which browser it is, our binding cookie tells."""

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ARG002 (the signature of dict)
        return True

    def __setitem__(self, key: str, value: Any) -> None:
        return


NO_SESSION: Final = _NoSession()
