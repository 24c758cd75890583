"""The scope registry: which scope stands for which API, and what each API has asked for.

Audiences are looked up here, never derived from the spelling of a scope: identity scopes hold
slashes too.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from tillit_server.issuer.claims import AT_WISH

AttestationPolicy = Literal["required", "optional", "none"]
PatientIdentifierPolicy = Literal["forbidden", "optional", "required"]

ATTESTATION_SCOPE = "nhn:tillitsrammeverk:parameters"
JOURNAL_SCOPE = "nhn:sfm:journal-id"
# Permission to pass a structure, not access to anything: allowed in every grant, no audience of their own.
STRUCTURE_SCOPES = frozenset({ATTESTATION_SCOPE, JOURNAL_SCOPE})
# They speak of a user who has logged in; in client_credentials nobody has.
IDENTITY_SCOPES = frozenset(
    {
        "openid",
        "profile",
        "offline_access",
        "helseid://scopes/identity/pid",
        "helseid://scopes/identity/pid_pseudonym",
        "helseid://scopes/identity/security_level",
        "helseid://scopes/identity/assurance_level",
        "helseid://scopes/identity/network",
        "helseid://scopes/hpr/hpr_number",
    }
)
MAX_TOKEN_LIFETIME = 3600


class ApiConfigError(ValueError):
    """An API definition cannot be used; the message names file, API and member."""


@dataclass(frozen=True, slots=True)
class Api:
    """One document source or other API: the audience of its tokens and what it asked for."""

    audience: str
    scopes: tuple[str, ...]
    name: str = ""
    attestation: AttestationPolicy = "none"
    claims: frozenset[str] = frozenset()
    patient_scopes: frozenset[str] = frozenset()
    patient_identifier: PatientIdentifierPolicy = "optional"
    token_lifetime: int = 600
    signing_algorithm: str = "ES256"


@dataclass(frozen=True, slots=True)
class ApiRegistry:
    """All APIs of an installation, by audience and by scope."""

    apis: tuple[Api, ...]
    by_scope: Mapping[str, Api] = field(init=False)
    by_audience: Mapping[str, Api] = field(init=False)

    def __post_init__(self) -> None:
        by_scope: dict[str, Api] = {}
        for api in self.apis:
            for scope in api.scopes:
                if scope in by_scope or scope in IDENTITY_SCOPES | STRUCTURE_SCOPES:
                    raise ApiConfigError(f"{api.audience}: scope {scope} stands for something else already")
                by_scope[scope] = api
        by_audience = {api.audience: api for api in self.apis}
        if len(by_audience) != len(self.apis):
            raise ApiConfigError("an audience is defined twice")
        object.__setattr__(self, "by_scope", MappingProxyType(by_scope))
        object.__setattr__(self, "by_audience", MappingProxyType(by_audience))

    def knows(self, scope: str) -> bool:
        """Whether ``scope`` means anything here."""
        return scope in self.by_scope or scope in IDENTITY_SCOPES or scope in STRUCTURE_SCOPES

    @property
    def signing_algorithms(self) -> frozenset[str]:
        """Every algorithm some API wants its tokens signed with."""
        return frozenset(api.signing_algorithm for api in self.apis)


def load_apis(directory: Path) -> ApiRegistry:
    """Read every ``*.toml`` of ``directory``. Raises ``ApiConfigError``, also when there is no API at all."""
    apis = tuple(_apis_of(sorted(directory.glob("*.toml"))))
    if not apis:
        raise ApiConfigError("apis: no API is defined, so there is nothing to make tokens for")
    return ApiRegistry(apis)


def _apis_of(paths: Iterable[Path]) -> Iterable[Api]:
    for path in paths:
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ApiConfigError(f"apis/{path.name}: {error}") from error
        entries = document.get("api")
        if set(document) != {"api"} or not isinstance(entries, list):
            raise ApiConfigError(f"apis/{path.name}: tables called [[api]] needed, and nothing else")
        for entry in entries:
            try:
                yield _api(entry, f"apis/{path.name}")
            except (TypeError, AttributeError) as error:
                raise ApiConfigError(f"apis/{path.name}: a member is of the wrong kind") from error


def _api(entry: Mapping[str, Any], source: str) -> Api:
    where = f"{source}: {entry.get('audience', '?')}"
    unknown = set(entry) - set(Api.__dataclass_fields__)
    if unknown:
        raise ApiConfigError(f"{where}: unknown member {min(unknown)}")
    if not entry.get("audience") or not entry.get("scopes"):
        raise ApiConfigError(f"{where}: audience and scopes needed")
    sets = {name: frozenset(entry.get(name, ())) for name in ("claims", "patient_scopes")}
    api = Api(**{**entry, **sets, "scopes": tuple(entry["scopes"])})
    if api.attestation not in {"required", "optional", "none"}:
        raise ApiConfigError(f"{where}: attestation: required, optional or none")
    if api.patient_identifier not in {"forbidden", "optional", "required"}:
        raise ApiConfigError(f"{where}: patient_identifier: forbidden, optional or required")
    if not 1 <= api.token_lifetime <= MAX_TOKEN_LIFETIME:
        raise ApiConfigError(f"{where}: token_lifetime: 1 to {MAX_TOKEN_LIFETIME} seconds")
    if unheard_of := api.claims - AT_WISH:
        raise ApiConfigError(f"{where}: claims: nobody knows {min(unheard_of)}")
    if not api.patient_scopes <= set(api.scopes):
        raise ApiConfigError(f"{where}: patient_scopes must be among its scopes")
    return api
