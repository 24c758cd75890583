"""What comes back after its use: a code or a rotated refresh token ends everything that came of its login.

Somebody has a copy, and nobody can tell who (RFC 6749 §4.1.2, RFC 9700 §4.14).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tillit.protocol.errors import OAuthError
from tillit_server.audit.events import CodeReused
from tillit_server.issuer.families import FAMILY, Family, put_family, settle_with_family
from tillit_server.issuer.settling import single_use_ids
from tillit_server.storage.ports import Settlement

if TYPE_CHECKING:
    from tillit_server.issuer.token_endpoint import TokenFacts


class Reused(OAuthError):  # noqa: N818 (a refusal is an answer)
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
        found = store.records.get(FAMILY, reused.family)
        family = Family.from_json(found.value) if found else None
        if found is None or family is None or family.revoked:
            return None
        revoked = put_family(replace(family, revoked=True), expect=found.version)
        return Settlement(claims=claims, puts=(revoked,), entries=(audit.entry(event),))

    settle_with_family(store, ending)
