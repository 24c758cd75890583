"""The registers a trust anchor asks, as ports, and a bundle of them held in memory.

Pure: no adapter here reads a file or a socket. A register that cannot answer raises `RegisterUnavailable`,
and the caller must then refuse (fail closed), never assume.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Protocol


class RegisterUnavailable(Exception):
    """The named register must answer and does not (ATT-REGISTER, HTTP 503)."""

    def __init__(self, register: str) -> None:
        super().__init__(f"{register} cannot be asked now")
        self.register = register


@dataclass(frozen=True, slots=True)
class HprCode:
    """A code of HPR's own lists, with what it says in Norwegian."""

    value: str
    description: str


AUTHORIZED = HprCode("1", "Autorisasjon")


@dataclass(frozen=True, slots=True)
class HprApproval:
    """What a person is approved as: profession (a code of 9060), and the rights and specialities in it."""

    profession: str
    authorization: HprCode = AUTHORIZED
    requisition_rights: tuple[HprCode, ...] = ()
    specialities: tuple[HprCode, ...] = ()


@dataclass(frozen=True, slots=True)
class HprPerson:
    """A person in the register of health personnel (HPR), with what is valid now.

    `approvals` says more about the same `authorizations`, in the order of their codes.
    """

    hpr_number: str = field(repr=False)
    name: str = field(repr=False)
    authorizations: frozenset[str]
    approvals: tuple[HprApproval, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Organisation:
    """An entry in the register of enterprises: a main unit, or a sub-unit with its `parent`."""

    id: str
    name: str
    is_main_unit: bool
    parent: str | None
    legal_entity: str
    """The number of the main unit this one belongs to; its own for a main unit."""


@dataclass(frozen=True, slots=True)
class Department:
    """A unit in the register of units in specialist health care (RESH)."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether an enterprise is a member of Helsenettet in good standing now; `reason` is for people.

    `scopes_without_terms`: scopes of APIs whose own terms of use it has not accepted.
    """

    valid: bool
    reason: str
    scopes_without_terms: frozenset[str] = frozenset()


class HprRegister(Protocol):
    """The register of health personnel."""

    def person(self, person_id: str) -> HprPerson | None:
        """The person with this national number, or `None` if HPR has none. Raises `RegisterUnavailable`."""


class OrganisationRegister(Protocol):
    """The register of enterprises, with RESH beside it."""

    def organisation(self, number: str) -> Organisation | None:
        """The main or sub-unit with this organisation number. Raises `RegisterUnavailable`."""

    def has_sub_units(self, number: str) -> bool:
        """Whether a main unit has registered sub-units. Raises `RegisterUnavailable`."""

    def department(self, resh_id: str) -> Department | None:
        """The unit with this RESH id. Raises `RegisterUnavailable`."""


class MembershipRegister(Protocol):
    """Membership of Helsenettet, terms and agreements (ATT-12)."""

    def membership(self, number: str, now: float) -> Membership:
        """The standing of a main unit at `now` (Unix seconds). Raises `RegisterUnavailable`."""


@dataclass(frozen=True, slots=True)
class Registers:
    """All the registers a trust anchor needs."""

    hpr: HprRegister
    organisations: OrganisationRegister
    membership: MembershipRegister


@dataclass(frozen=True, slots=True)
class HprInMemory:
    """HPR as a mapping from a person's number to the person."""

    people: Mapping[str, HprPerson] = field(repr=False)

    def person(self, person_id: str) -> HprPerson | None:
        """See `HprRegister.person`."""
        return self.people.get(person_id)


@dataclass(frozen=True, slots=True)
class OrganisationsInMemory:
    """The register of enterprises and RESH as two mappings."""

    organisations: Mapping[str, Organisation]
    departments: Mapping[str, Department]
    with_sub_units: frozenset[str]

    def organisation(self, number: str) -> Organisation | None:
        """See `OrganisationRegister.organisation`."""
        return self.organisations.get(number)

    def has_sub_units(self, number: str) -> bool:
        """See `OrganisationRegister.has_sub_units`."""
        return number in self.with_sub_units

    def department(self, resh_id: str) -> Department | None:
        """See `OrganisationRegister.department`."""
        return self.departments.get(resh_id)


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """One enterprise in the membership register; times in Unix seconds, `ends` exclusive."""

    begins: float
    ends: float | None
    terms_accepted: bool
    agreements: bool
    scopes_without_terms: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MembershipInMemory:
    """The membership register as a mapping from the number of a main unit."""

    members: Mapping[str, MemberEntry]

    def membership(self, number: str, now: float) -> Membership:
        """See `MembershipRegister.membership`."""
        entry = self.members.get(number)
        if entry is None or now < entry.begins:
            return Membership(valid=False, reason="no membership")
        if entry.ends is not None and now >= entry.ends:
            return Membership(valid=False, reason="the membership has ended")
        if not entry.terms_accepted:
            return Membership(valid=False, reason="the terms are not accepted")
        if not entry.agreements:
            return Membership(valid=False, reason="an agreement is missing")
        return Membership(valid=True, reason="member", scopes_without_terms=entry.scopes_without_terms)


def registers_from(
    *, hpr: Mapping[str, Any], organisations: Mapping[str, Any], membership: Mapping[str, Any]
) -> Registers:
    """Registers held in memory, from three parsed documents shaped as those in ``config/registers``.

    Raises `KeyError` or `TypeError` when a document lacks a member. Dates are whole days, UTC, inclusive.
    """
    people = {
        entry["id"]: HprPerson(
            entry["hpr_number"], entry["name"], frozenset(entry["authorizations"]), _approvals(entry)
        )
        for entry in hpr["person"]
    }
    units: dict[str, Organisation] = {}
    parents: set[str] = set()
    for main in organisations["main_unit"]:
        number = main["number"]
        units[number] = Organisation(
            number, main["name"], is_main_unit=True, parent=None, legal_entity=number
        )
        for sub in main.get("sub_unit", ()):
            parents.add(number)
            units[sub["number"]] = Organisation(
                sub["number"], sub["name"], is_main_unit=False, parent=number, legal_entity=number
            )
    departments = {
        entry["resh_id"]: Department(entry["resh_id"], entry["name"])
        for entry in organisations.get("department", ())
    }
    members = {
        entry["number"]: MemberEntry(
            begins=_midnight(entry["valid_from"]),
            ends=_midnight(entry["valid_until"] + timedelta(days=1)) if "valid_until" in entry else None,
            terms_accepted=entry["terms_accepted"],
            agreements=_has_agreements(entry["agreements"]),
            scopes_without_terms=frozenset(entry.get("scopes_without_terms", ())),
        )
        for entry in membership["member"]
    }
    return Registers(
        HprInMemory(people),
        OrganisationsInMemory(units, departments, frozenset(parents)),
        MembershipInMemory(members),
    )


def _approvals(person: Mapping[str, Any]) -> tuple[HprApproval, ...]:
    """An approval for each authorization; `approval` has the rights and specialities of some."""
    more = {entry["profession"]: entry for entry in person.get("approval", ())}
    return tuple(
        HprApproval(
            profession,
            requisition_rights=_hpr_codes(more.get(profession, {}).get("requisition_rights", ())),
            specialities=_hpr_codes(more.get(profession, {}).get("specialities", ())),
        )
        for profession in sorted(person["authorizations"])
    )


def _hpr_codes(entries: Sequence[Mapping[str, str]]) -> tuple[HprCode, ...]:
    return tuple(HprCode(entry["value"], entry["description"]) for entry in entries)


def _midnight(day: date) -> float:
    return datetime.combine(day, time(), tzinfo=UTC).timestamp()


def _has_agreements(agreements: Sequence[str]) -> bool:
    return len(agreements) > 0
