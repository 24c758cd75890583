"""POST and GET /v1/client-secret: a client renews its own keys, and sees which it has.

The wire is that of the national service's self-service, whose clients' public keys go by the name of client
secrets. The call is made with a DPoP-bound token that the client got for itself.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from tillit.protocol.dpop import Proof
from tillit.protocol.errors import OAuthError, Rejected, invalid_request
from tillit.protocol.gate import read_json
from tillit.protocol.jose import PublicKey, load_public_jwk
from tillit_server.audit.events import ClientKeyAdded, ClientKeyProven, Event
from tillit_server.issuer.answers import NO_STORE, Answer
from tillit_server.issuer.clients.client import Client
from tillit_server.issuer.clients.keys import BY_CLIENT
from tillit_server.issuer.clients.registration import Change, UnknownClient, change_client
from tillit_server.issuer.clients.renewal import KeyRefused, with_key, with_proof
from tillit_server.issuer.protected import (
    INVALID_TOKEN,
    PROTECTED_STEPS,
    Access,
    answer_protected,
    challenged,
    used_proof,
)
from tillit_server.issuer.request import Request
from tillit_server.issuer.services import Services
from tillit_server.issuer.settling import proof_id
from tillit_server.issuer.steps import refused, run
from tillit_server.storage.ports import Conflict

CLIENT_SECRET_PATH: Final = "/v1/client-secret"  # noqa: S105 (a path)
AUDIENCE: Final = "nhn:selvbetjening"
SCOPE: Final = "nhn:selvbetjening/client"
INVALID_KEY: Final = "invalid_key"
# A worker knows within half a second that a key is gone; a token's own time is cut to whole seconds.
_STILL_UNKNOWN: Final = 2


class KeyAccess(Access):
    """What is known about such a request beside all that ``Access`` knows."""

    self_service_proof: Proof
    posted_key: PublicKey


def self_service_proof(known: KeyAccess) -> Proof:
    """``invalid_token``: the proof of a bound token for self-service, which the client got for itself."""
    access, proof = known.own_token.access, known.bound_proof
    if access.audience != AUDIENCE or access.subject != access.client_id or proof is None:
        raise challenged(
            INVALID_TOKEN, f"a DPoP-bound token for {AUDIENCE} needed, got by client_credentials"
        )
    known.services.limits.require_client(known.request.endpoint, access.client_id)
    return proof


def posted_key(known: KeyAccess) -> PublicKey:
    """``invalid_request``, ``invalid_key``: a sound public JWK, as an object or as a text that holds one."""
    try:
        document = read_json(known.request.body)
        if isinstance(document, str):
            document = read_json(document.encode())
    except (Rejected, UnicodeEncodeError) as error:
        raise invalid_request(f"body: {error}", pointer="body") from error
    if not isinstance(document, Mapping):
        raise invalid_request("body: a JSON Web Key needed, or a text that holds one", pointer="body")
    try:
        return load_public_jwk(document, algorithms=known.own_token.client.algorithms)
    except Rejected as rejected:
        raise OAuthError.from_rejected(INVALID_KEY, rejected) from rejected


LISTING_STEPS = (*PROTECTED_STEPS, self_service_proof)
RENEWAL_STEPS = (*LISTING_STEPS, posted_key)


def list_client_keys(request: Request, services: Services) -> Answer:
    """The keys of the client that asks, those that have expired too, as long as they are registered."""
    return answer_protected(
        request,
        services,
        scope=SCOPE,
        make=lambda known: Answer(200, _listed(known.own_token.client), NO_STORE),
        steps=LISTING_STEPS,
    )


def renew_client_key(request: Request, services: Services) -> Answer:
    """Register the key that the client sends; it is good at once, and the answer says until when.

    Raises ``Refused`` and ``StorageUnavailable``; then nothing has changed.
    """
    known = run(RENEWAL_STEPS, KeyAccess(request, services, SCOPE))
    expires_at = int(known.now) + services.key_policy.lifetime
    try:
        change_client(
            services,
            known.own_token.client.id,
            lambda client: _renewed(known, client, expires_at),
            claims=(proof_id(known.self_service_proof),),
        )
    except OAuthError as error:
        raise refused("renewed", error, known) from error
    except UnknownClient as error:
        raise refused("renewed", _outdated(), known) from error
    except Conflict as conflict:
        raise refused("settle", used_proof(), known) from conflict
    return Answer(200, {"expiration": _iso(expires_at)}, NO_STORE)


def _renewed(known: KeyAccess, client: Client, expires_at: float) -> Change:
    """What becomes of ``client``, as it is at this moment, and what the audit says of it."""
    token, key = known.own_token.access, known.posted_key
    gone_at = client.keys_removed_at
    if client.disabled or (gone_at is not None and token.issued_at <= gone_at + _STILL_UNKNOWN):
        raise _outdated()
    try:
        added = with_key(client, key, now=known.now, expires_at=expires_at, origin=BY_CLIENT)
    except KeyRefused as error:
        raise OAuthError(INVALID_KEY, str(error), status=HTTPStatus.CONFLICT, pointer="jwk.kid") from error
    about: dict[str, Any] = {
        "client_id": client.id,
        "kid": key.kid,
        "thumbprint": key.thumbprint,
        "operator": "client",
    }
    dropped = tuple(entry.key.kid for entry in added.dropped)
    events: list[Event] = [
        ClientKeyAdded(**about, reason="renewal", expires_at=expires_at, token_jti=token.jti, dropped=dropped)
    ]
    # Who binds the token to the new key has signed this very request with it (RFC 9449 §4.2).
    signed_with_it = token.jkt == key.thumbprint
    overlap = known.services.key_policy.overlap
    proven = signed_with_it and with_proof(added.client, key.thumbprint, now=known.now, overlap=overlap)
    if not proven:
        return Change(added.client, events)
    shortened = tuple(entry.key.kid for entry in proven.shortened)
    events.append(
        ClientKeyProven(**about, reason="signed its own renewal", shortened=shortened, ends_at=proven.ends_at)
    )
    return Change(proven.client, events)


def _listed(client: Client) -> Sequence[Mapping[str, Any]]:
    return [
        {
            "expiration": None if entry.expires_at is None else _iso(entry.expires_at),
            "kid": entry.key.kid,
            "jwkThumbprint": entry.key.thumbprint,
            "origin": entry.origin,
            "publicJwk": entry.key.jwk,
        }
        for entry in client.keys
    ]


def _iso(seconds: float) -> str:
    """ISO 8601 with an offset, as clients of the national service read it."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _outdated() -> OAuthError:
    return challenged(INVALID_TOKEN, "the access token is older than the last removal of a key, get another")
