"""The attestation as frozen values: what was attested, in one spelling, whoever sent it.

A required member that was not sent stands as an empty value (``NOT_GIVEN``, ``NO_CODE``, ``NO_DECISION``,
``NO_TIME``), so that each rule can report its own absence and a caller never meets ``None`` where the trust
framework allows none. An attestation that `judge` accepted has no empty value left.
"""

from dataclasses import dataclass, field

from tillit.quick import quick

LIFETIME = 3600
"""Seconds an attestation can be used after `toa` (ATT-58b, ATT-58c)."""


@quick
@dataclass(frozen=True, slots=True)
class Identifier:
    """Something with a number in a register: a person, an enterprise, a unit.

    `id` and `name` never show in `repr`: they may be a person's, and a `repr` ends up in logs.
    """

    id: str = field(repr=False)
    system: str
    name: str | None = field(default=None, repr=False)
    authority: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class Coding:
    """A code of a code system; `text` and `assigner` are filled in by the trust anchor."""

    code: str
    system: str
    text: str | None = None
    assigner: str | None = None


@quick
@dataclass(frozen=True, slots=True)
class Decision:
    """Points at the access decision in the consumer's own log; `None` when `user_selected` was no boolean."""

    id: str
    user_selected: bool | None


NOT_GIVEN = Identifier("", "")
NO_CODE = Coding("", "")
NO_DECISION = Decision("", None)
NO_TIME = -1
"""Stands for a `toa` that was sent but is no whole number of seconds."""


@quick
@dataclass(frozen=True, slots=True)
class Practitioner:
    """Who asks, and for which enterprise, place and unit."""

    legal_entity: Identifier = NOT_GIVEN
    point_of_care: Identifier = NOT_GIVEN
    identifier: Identifier | None = None
    hpr_nr: Identifier | None = None
    authorization: Coding | None = None
    department: Identifier | None = None


@quick
@dataclass(frozen=True, slots=True)
class CareRelationship:
    """Why the record is opened, and the decision that opened it at home."""

    purpose_of_use: Coding = NO_CODE
    decision_ref: Decision = NO_DECISION
    healthcare_service: Coding | None = None
    purpose_of_use_details: Coding | None = None


@quick
@dataclass(frozen=True, slots=True)
class Patient:
    """One patient, as far as the consumer says who it is and where the treatment takes place."""

    identifier: Identifier | None = None
    point_of_care: Identifier | None = None
    department: Identifier | None = None


@quick
@dataclass(frozen=True, slots=True)
class Attestation:
    """An attested access context. `toa` is in Unix seconds."""

    practitioner: Practitioner
    care_relationship: CareRelationship
    patients: tuple[Patient, ...]
    toa: int
    toa_from_carrier: bool = field(default=False, compare=False)
    """True when the client sent no `toa` and the `iat` of the JWT that carried the attestation stands in."""

    @property
    def expires_at(self) -> int:
        """The last Unix second at which the attestation may be used; no token may outlive it (ATT-58b)."""
        return self.toa + LIFETIME
