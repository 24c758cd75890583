"""Our own tokens when they come back to us: read, and asked about whether they still hold.

An access token is verified like any other, with the keys we publish; what no signature can say, whether it
or its login was revoked since, the store knows.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from tillit.protocol.access_token import AccessToken, check_access_token
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import GATE_ALGORITHMS, MAX_ASSERTION_BYTES, read_jws
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.families import (
    ACCESS_TOKEN,
    FAMILY,
    Family,
    is_genuine,
    read_family,
    read_refresh_token,
)
from tillit_server.issuer.services import Services
from tillit_server.storage.ports import Ticket

REVOKED_TOKEN: Final = "revoked_token"  # noqa: S105 (a kind of record, by jti)
_OF_A_USER: Final = "="  # every sub of a person ends so, and no client id does


class Origin(NamedTuple):
    """An access token that another was exchanged for, and whose it was."""

    jti: str
    client_id: str


@dataclass(frozen=True, slots=True)
class OwnToken:
    """An access token of ours that is good now. ``family`` is None where nobody has logged in.

    ``made_from``: the tokens it was exchanged for, one for the other, the last one first.
    """

    access: AccessToken
    client: Client
    family: Family | None = field(repr=False)
    made_from: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnRefreshToken:
    """A refresh token that this issuer has made; ``version`` is that of its family's record."""

    family: Family = field(repr=False)
    generation: int
    version: int

    def holds(self, now: float) -> bool:
        """Whether it could still be used at ``now``: the newest that was used, or the one after it."""
        newest = self.family.generation
        in_time = now <= self.family.expires_at
        return in_time and not self.family.revoked and self.generation in {newest, newest + 1}


def verify_access_token(text: str, services: Services, now: float) -> AccessToken:
    """An access token that we have signed, not expired, for whichever API. Raises ``Rejected``."""
    audience = read_jws(text, max_bytes=MAX_ASSERTION_BYTES).claims.get("aud")
    if type(audience) is not str:
        raise Rejected("not one audience", "payload.aud")
    return check_access_token(
        text,
        keys=services.signer.verification_keys(now),
        issuer=services.issuer,
        audience=audience,
        now=now,
        algorithms=GATE_ALGORITHMS,
        # Both clocks are ours.
        leeway=0,
    )


def require_live(access: AccessToken, services: Services) -> OwnToken:
    """``access`` with its client and all that it came of, which must still hold.

    Raises ``Rejected`` when it, its family, a token it was exchanged for, or a client of these was shut off;
    ``StorageUnavailable``.
    """
    client = _require_enabled(access.client_id, services)
    if access.issued_at <= services.restored_at:
        raise Rejected("made before the store was restored", "payload.iat")
    of_a_user = access.subject.endswith(_OF_A_USER)
    # A token that a client got for itself came of nothing, and the store knows nothing of it.
    comes_of_another = of_a_user or "act" in access.claims
    ticket = services.store.tickets.peek(ACCESS_TOKEN, access.jti) if comes_of_another else None
    if comes_of_another and ticket is None:
        raise Rejected("nobody knows what it came of", "payload.jti")
    made_from = tuple(Origin(*origin) for origin in ticket.value.get("from", ())) if ticket else ()
    for origin in made_from:
        _require_enabled(origin.client_id, services)
    chain = (access.jti, *(origin.jti for origin in made_from))
    if any(services.store.records.get(REVOKED_TOKEN, jti) is not None for jti in chain):
        raise Rejected("revoked, or made of what was revoked", "payload.jti")
    family = _living_family(ticket, services) if of_a_user else None
    return OwnToken(access, client, family, made_from)


def _require_enabled(client_id: str, services: Services) -> Client:
    client = services.clients.find(client_id)
    if client is None or client.disabled:
        raise Rejected("its client is disabled", "payload.client_id")
    return client


def _living_family(ticket: Ticket | None, services: Services) -> Family:
    found = None if ticket is None else services.store.records.get(FAMILY, ticket.value["family"])
    family = read_family(found)
    if family is None or family.revoked:
        raise Rejected("its login no longer holds", "payload.jti")
    _require_enabled(family.authorized.client_id, services)
    return family


def find_refresh_token(text: str, services: Services) -> OwnRefreshToken | None:
    """The refresh token that ``text`` is, whatever has become of it; None for what we never made.

    Raises ``StorageUnavailable``.
    """
    token = read_refresh_token(text)
    found = None if token is None else services.store.records.get(FAMILY, token.unverified_family)
    family = read_family(found)
    if token is None or found is None or family is None or not is_genuine(token, family):
        return None
    return OwnRefreshToken(family, token.generation, found.version)
