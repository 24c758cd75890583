"""A login under way: bound to one browser by a cookie, with its own copy of what was asked (threat P10)."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tillit.protocol.errors import OAuthError, invalid_request
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.browser import LogIn
from tillit_server.issuer.services import Services
from tillit_server.storage.ports import Claim, Issue

INTERACTION: Final = "interaction"
"""The space of logins under way; the key stands in URLs and is worth nothing without the cookie."""
_SECRET_LENGTH: Final = 43  # 256 bits of base64url


@dataclass(frozen=True, slots=True)
class Interaction:
    """``pushed``: the key of the pushed request, which ends with the login; None for the front channel.

    ``opened_at``: Unix seconds. ``force``: also whom the provider still knows must log in anew.
    ``session``: the cookie's value at the opening. ``spends`` and ``tolerances``: of the front channel.
    """

    binding: str = field(repr=False)
    asked: Asked
    opened_at: float
    pushed: str | None = field(default=None, repr=False)
    force: bool = False
    session: str | None = field(default=None, repr=False)
    spends: tuple[Claim, ...] = ()
    tolerances: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it lies (sealed) in the store."""
        return {
            "binding": self.binding,
            "asked": self.asked.to_json(),
            "opened_at": self.opened_at,
            "pushed": self.pushed,
            "force": self.force,
            "session": self.session,
            "spends": [[claim.space, claim.key, claim.until, claim.made] for claim in self.spends],
            "tolerances": list(self.tolerances),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What ``to_json`` gave."""
        return cls(
            **{
                **value,
                "asked": Asked.from_json(value["asked"]),
                "spends": tuple(Claim(*claim) for claim in value["spends"]),
                "tolerances": tuple(value["tolerances"]),
            }
        )


def binding_of(text: str | None) -> str:
    """The value that tells this browser: the one it brought, or a new one."""
    known = text is not None and len(text) == _SECRET_LENGTH and text.isascii() and text.isprintable()
    return text if known and text is not None else secrets.token_urlsafe(32)


def new_interaction(interaction: Interaction, *, now: float, lifetime: int) -> tuple[str, Issue]:
    """The key of a new login under way, and the ticket to settle."""
    key = secrets.token_urlsafe(32)
    return key, Issue(INTERACTION, key, interaction.to_json(), now + lifetime)


def find_interaction(key: str, binding: str | None, services: Services) -> Interaction:
    """The login under way in this browser.

    Raises ``OAuthError`` ``invalid_request`` (nothing may be redirected), ``StorageUnavailable``.
    """
    ticket = services.store.tickets.peek(INTERACTION, key) if len(key) == _SECRET_LENGTH else None
    if ticket is None or ticket.redeemed:
        raise over()
    interaction = Interaction.from_json(ticket.value)
    if not hmac.compare_digest(interaction.binding.encode(), (binding or "").encode("utf-8", "replace")):
        raise invalid_request("this login was begun in another browser, or its cookie is gone")
    return interaction


def over() -> OAuthError:
    """The refusal of a login that is not under way: over, too late, or never begun."""
    return invalid_request("this login is over or has taken too long; start again from the application")


def log_in(key: str, interaction: Interaction, client: Client) -> LogIn:
    """What the login page needs to know."""
    asked = interaction.asked
    return LogIn(
        interaction=key,
        binding=interaction.binding,
        client_name=client.name or client.id,
        idp=asked.idp,
        level=asked.level,
        force=interaction.force,
        amr=asked.amr,
        login_hint=asked.request.login_hint,
        ui_locales=asked.request.ui_locales,
    )
