"""Who may ask for what: the client, and the registry that every worker reads.

A client lives as one record of kind ``client``; the value is the JSON of ``Client.to_record``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from tillit.protocol.client_assertion import AssertionProfile
from tillit.protocol.jose import PublicKey
from tillit_server.issuer.apis import ApiRegistry
from tillit_server.issuer.clients.keys import ClientKey, read_keys
from tillit_server.issuer.clients.profiles import PROFILES, Profile
from tillit_server.issuer.clients.rules import ClientError, faults_here, faults_of
from tillit_server.storage.ports import Records

KIND = "client"
# A user's sub always ends in "=", which no client id may hold: the two can never be equal.
_CLIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth client: one EHR installation, and everything it is allowed.

    ``legal_entities``: the enterprises it may act for; a single-tenant client has exactly one.
    ``children``: the sub-units it may name; ``supplier``: the organisation number of its vendor.
    ``attests_without_login``: its enterprise vouches for practitioners who have not logged in.
    ``native``: its loopback redirect URIs are good with any port (RFC 8252 §7.3). ``audiences``: the APIs
    that this client is itself, whose tokens it may introspect and exchange. ``sector_identifier``: clients of
    one sector see the same ``sub``. ``refresh_token_lifetime``: seconds, None for the installation's.
    ``jwks_uri``: where it publishes its keys itself; ``keys`` is empty then (RFC 7591 §2).
    ``keys_removed_at``: when an operator last took a key away (Unix seconds); a token from before adds none.
    """

    id: str
    keys: tuple[ClientKey, ...]
    legal_entities: tuple[str, ...]
    scopes: frozenset[str]
    grants: frozenset[str]
    name: str = ""
    profile: Profile = PROFILES["fapi2"]
    tenancy: Literal["single", "multi"] = "single"
    children: tuple[str, ...] = ()
    supplier: str | None = None
    attests_without_login: bool = False
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    native: bool = False
    audiences: tuple[str, ...] = ()
    sector_identifier: str | None = None
    id_token_signed_response_alg: str = "ES256"  # noqa: S105 (an algorithm)
    refresh_token_lifetime: int | None = None
    rotate_refresh_tokens: bool = False
    require_signed_request_object: bool = False
    allow_rs256: bool = False
    separate_dpop_key: bool = False
    require_typ: bool = False
    toa_required: bool = False
    decision_ref_must_be_uuid: bool = False
    department_required: bool = False
    purpose_of_use_details_required: bool = False
    patient_identifier: Literal["forbidden", "optional", "required"] = "optional"
    disabled: bool = False
    keys_removed_at: float | None = None
    jwks_uri: str | None = None

    @property
    def sector(self) -> str:
        """Within which a person has one ``sub``; a client is a sector of its own unless it says otherwise."""
        return self.sector_identifier or self.id

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The signature algorithms accepted from this client."""
        algorithms = self.profile.algorithms
        return (*algorithms, "RS256") if self.allow_rs256 and "RS256" not in algorithms else algorithms

    @property
    def assertion_profile(self) -> AssertionProfile:
        """How its assertions are judged: by its profile, and its own switch on ``typ``."""
        return (
            replace(self.profile.assertion, require_typ=True) if self.require_typ else self.profile.assertion
        )

    def keys_at(self, now: float) -> tuple[PublicKey, ...]:
        """The registered keys that have not expired at ``now``; ``ClientKeySets`` knows published ones."""
        return tuple(entry.key for entry in self.keys if entry.good_at(now))

    def to_record(self) -> dict[str, Any]:
        """The JSON form that is stored and printed."""
        return {
            "id": self.id,
            "name": self.name,
            "keys": [entry.to_record() for entry in self.keys],
            "jwks_uri": self.jwks_uri,
            "legal_entities": list(self.legal_entities),
            "scopes": sorted(self.scopes),
            "grants": sorted(self.grants),
            "profile": self.profile.name,
            "tenancy": self.tenancy,
            "children": list(self.children),
            "supplier": self.supplier,
            "attests_without_login": self.attests_without_login,
            "redirect_uris": list(self.redirect_uris),
            "post_logout_redirect_uris": list(self.post_logout_redirect_uris),
            "audiences": list(self.audiences),
            "sector_identifier": self.sector_identifier,
            "id_token_signed_response_alg": self.id_token_signed_response_alg,
            "refresh_token_lifetime": self.refresh_token_lifetime,
            **{name: getattr(self, name) for name in _SWITCHES},
            "patient_identifier": self.patient_identifier,
            "disabled": self.disabled,
            "keys_removed_at": self.keys_removed_at,
        }


_SWITCHES = (
    "native",
    "rotate_refresh_tokens",
    "require_signed_request_object",
    "allow_rs256",
    "separate_dpop_key",
    "require_typ",
    "toa_required",
    "decision_ref_must_be_uuid",
    "department_required",
    "purpose_of_use_details_required",
)


def client_from(value: Mapping[str, Any]) -> Client:
    """The client that ``value`` (JSON as of ``to_record``) describes, every member checked.

    Raises ``ClientError``.
    """
    unknown = set(value) - set(Client.__dataclass_fields__)
    if unknown:
        raise ClientError(f"{min(unknown)}: unknown member")
    identifier = str(value.get("id", ""))
    if not _CLIENT_ID.fullmatch(identifier):
        raise ClientError("id: 1 to 64 letters, digits, '.', '_', ':' or '-' needed")
    profile = PROFILES.get(str(value.get("profile", "fapi2")))
    if profile is None:
        raise ClientError(f"profile: one of {', '.join(PROFILES)} needed")
    allow_rs256 = bool(value.get("allow_rs256", False))
    algorithms = (*profile.algorithms, "RS256") if allow_rs256 else profile.algorithms
    jwks_uri, keys = value.get("jwks_uri"), value.get("keys", ())
    if jwks_uri is not None and keys:
        raise ClientError("jwks_uri: not beside keys (RFC 7591 §2)")
    client = Client(
        id=identifier,
        name=str(value.get("name", "")),
        keys=read_keys(keys, algorithms) if jwks_uri is None else (),
        jwks_uri=jwks_uri,
        legal_entities=tuple(value.get("legal_entities", ())),
        scopes=frozenset(value.get("scopes", ())),
        grants=frozenset(value.get("grants", ())),
        profile=profile,
        tenancy=value.get("tenancy", "single"),
        children=tuple(value.get("children", ())),
        supplier=value.get("supplier"),
        attests_without_login=bool(value.get("attests_without_login", False)),
        redirect_uris=tuple(value.get("redirect_uris", ())),
        post_logout_redirect_uris=tuple(value.get("post_logout_redirect_uris", ())),
        audiences=tuple(value.get("audiences", ())),
        sector_identifier=value.get("sector_identifier"),
        id_token_signed_response_alg=str(value.get("id_token_signed_response_alg", "ES256")),
        refresh_token_lifetime=value.get("refresh_token_lifetime"),
        patient_identifier=value.get("patient_identifier", "optional"),
        disabled=bool(value.get("disabled", False)),
        keys_removed_at=value.get("keys_removed_at"),
        **{name: bool(value.get(name, False)) for name in _SWITCHES},
    )
    for fault in faults_of(client):
        raise ClientError(fault)
    return client


def check_installed(
    client: Client, apis: ApiRegistry, signing: Mapping[str, int | None], *, dev: bool
) -> None:
    """Refuse what means nothing in this installation, or is for development only. Raises ``ClientError``.

    ``signing``: the algorithms that the installation signs with; None, or the instant from which.
    """
    for fault in faults_here(client, apis, signing, dev=dev):
        raise ClientError(fault)


class ClientRegistry:
    """Reads clients from the shared store; a change is seen by every worker within ``fresh`` seconds.

    Times here are durations, so they come from a monotonic source and not from the clock.
    """

    def __init__(
        self, records: Records, *, monotonic: Callable[[], float], fresh: float = 0.5, capacity: int = 1000
    ) -> None:
        self._records = records
        self._monotonic = monotonic
        self.fresh = fresh
        self._capacity = capacity
        self._seen: dict[str, tuple[float, int, Client]] = {}
        self._unknown: dict[str, float] = {}

    def find(self, client_id: str) -> Client | None:
        """The client, or None for an unknown id. Raises ``StorageUnavailable``."""
        if not _CLIENT_ID.fullmatch(client_id):
            return None
        cached = self._seen.get(client_id)
        now = self._monotonic()
        if cached and now - cached[0] < self.fresh:
            return cached[2]
        # An unknown id is looked up as seldom as a known one, so that time does not tell them apart.
        if now - self._unknown.get(client_id, -self.fresh) < self.fresh:
            return None
        record = self._records.get(KIND, client_id)
        if record is None:
            self._seen.pop(client_id, None)
            if len(self._unknown) >= self._capacity:
                self._unknown.clear()
            self._unknown[client_id] = now
            return None
        # Loading a client checks its keys, which is dear; an unchanged version was checked before.
        client = cached[2] if cached and cached[1] == record.version else client_from(record.value)
        if len(self._seen) >= self._capacity:
            self._seen.clear()
        self._seen[client_id] = (now, record.version, client)
        return client

    def each(self) -> Iterator[Client]:
        """Every registered client. Raises ``StorageUnavailable``."""
        for _, record in self._records.each(KIND):
            yield client_from(record.value)
