"""Who judges an attestation, and what is known around it that the attestation itself cannot say."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from tillit.attestation.codes import CodeSystems, code_systems
from tillit.attestation.registers import Registers
from tillit.attestation.systems import CARE_RELATION, IPLOS
from tillit.quick import quick

DETAILS_SYSTEMS: Final = frozenset({CARE_RELATION, IPLOS})
"""The code systems that ATT-45 names for `purpose_of_use_details`."""


class Party(StrEnum):
    """The three parties of the trust framework, each of which judges with the same rulebook."""

    CONSUMER = "consumer"
    """The enterprise whose practitioner asks: judges before anything is sent."""
    TRUST_ANCHOR = "trust_anchor"
    """The token service: judges before it vouches."""
    DOCUMENT_SOURCE = "document_source"
    """The enterprise that holds the record: judges the claim of a verified token."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the caller of `judge` knows. Every default is the stricter or the more ordinary choice."""

    now: float
    """Unix seconds."""
    carrier_iat: int | None = None
    """`iat` of the JWT that carried the attestation; `toa` may not be more than 10 s later."""
    registers: Registers | None = None
    """A trust anchor must have them; other parties skip what only a register can tell."""
    codes: CodeSystems = field(default_factory=code_systems)
    synthetic_identifiers: bool = False
    """Admit test persons and test enterprises; never in production."""

    established_by: Literal["login", "legal_entity"] = "login"
    """Who vouches that the practitioner is who the attestation says: a login, or the enterprise itself."""
    authenticated_person: str | None = field(default=None, repr=False)
    """National number of the person who logged in (X-2)."""
    security_level: str | None = None
    """Level of that login; "4" is the level high that ATT-9 demands."""
    login_pending: bool = False
    """Nobody has logged in yet, somebody will: what a login must show (ATT-9, 11, 29, 32) is judged then."""
    may_attest_without_login: bool = False
    """The client is registered as one whose enterprise may vouch for its practitioners itself."""

    permitted_legal_entities: frozenset[str] | None = None
    """Main units the client may act for (X-5); `None` leaves that to the caller."""
    claimed_parent: str | None = None
    """Main unit named by a `helseid_authorization` beside the attestation (X-6)."""
    claimed_child: str | None = None
    """Sub-unit named there; a difference is only remarked."""

    scope_needs_patient: bool = False
    """A requested scope concerns one patient (X-13)."""
    patient_identifier: Literal["forbidden", "optional", "required"] = "optional"
    """Whether patients may, can or must be named (2.8)."""
    toa_required: bool = False
    decision_ref_must_be_uuid: bool = False
    department_required: bool = False
    """The enterprise has units below the register (ATT-21, ATT-53)."""
    details_required: bool = False
    """The enterprise has several levels (ATT-43a)."""
    details_systems: frozenset[str] = DETAILS_SYSTEMS
    """Code systems accepted for `purpose_of_use_details` (ATT-45)."""
    stored_with_grant: bool = False
    """The attestation was given at an earlier request and is used again by a refresh."""

    requested_patient: str | None = field(default=None, repr=False)
    """At a document source: the patient the API request is about."""
    token_person: str | None = field(default=None, repr=False)
    """At a document source: the person the access token says has logged in."""
