"""What comes back after its use: a code or a rotated refresh token ends everything that came of its login.

Somebody has a copy, and nobody can tell who (RFC 6749 §4.1.2, RFC 9700 §4.14).
"""

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tillit.protocol.errors import OAuthError
from tillit_server.audit.events import CodeReused
from tillit_server.issuer.codes import CODE
from tillit_server.issuer.families import FAMILY, put_ended, put_family, read_family, settle_with_family
from tillit_server.issuer.settling import single_use_ids
from tillit_server.storage.ports import Record, Settlement

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


_PAUSES = (0.005, 0.1)
"""Seconds between looks for a family that is being written: the first, and the longest."""


class Reused(OAuthError):
    """``invalid_grant``, with a consequence: ``family`` ends (see ``end_family``)."""

    def __init__(self, kind: Literal["code", "refresh_token"], family: str) -> None:
        super().__init__("invalid_grant", f"{kind}: used before", pointer=kind)
        self.kind = kind
        self.family = family


def end_family(reused: Reused, known: "TokenFacts") -> None:
    """Revoke the family, on disk before the answer; the ids of the request are spent with it.

    What has ended already needs no second entry. Raises ``Conflict`` when the request itself is a replay,
    which proves nothing against anybody, and ``StorageUnavailable``.
    """
    store, audit = known.services.store, known.services.audit
    claims = single_use_ids(known.authenticated_client, known.fresh_proof)
    event = CodeReused(client_id=known.authenticated_client.client.id, family=reused.family, kind=reused.kind)

    def ending() -> Settlement | None:
        found = _once_begun(reused, known)
        if found is None:
            code = store.tickets.peek(CODE, known.request.form.get("code", ""))
            end = None if code is None else put_ended(reused.family, code.until)
        else:
            family = read_family(found)
            if family is None or family.revoked:
                return None
            end = put_family(replace(family, revoked=True), expect=found.version)
        return None if end is None else Settlement(claims=claims, puts=(end,), entries=(audit.entry(event),))

    settle_with_family(store, ending)


def _once_begun(reused: Reused, known: "TokenFacts") -> Record | None:
    """The family's record. In a store of two servers a code is spent a moment before its family is written.

    None when who redeemed the code has not written it while a request may wait for the store: that one has
    been answered 503 by then, and the family shall not be written any more.
    """
    services = known.services
    pause, longest = _PAUSES
    deadline = time.monotonic() + services.storage_timeout
    while (found := services.store.records.get(FAMILY, reused.family)) is None and reused.kind == "code":
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(2 * pause, longest)
    return found
