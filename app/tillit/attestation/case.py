"""One attestation on the table: what the rules look at. Each register is asked at most once per question."""

from collections.abc import Iterable
from typing import Final

from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.findings import INVALID, Finding, Violation, mention
from tillit.attestation.identifiers import (
    Kind,
    PersonNumber,
    organisation_number_fault,
    read_person_number,
)
from tillit.attestation.model import Attestation, Identifier
from tillit.attestation.registers import HprPerson, Organisation, Registers, RegisterUnavailable
from tillit.attestation.systems import ORGANISATION_NUMBER

Findings = Iterable[Finding]
NOTHING: Final[tuple[Finding, ...]] = ()


class Case:
    """An attestation, who judges it and under which circumstances, handed to every rule."""

    __slots__ = (
        "_hpr_person",
        "_numbers",
        "_organisations",
        "at_source",
        "attestation",
        "circumstances",
        "party",
        "registers",
    )

    def __init__(self, attestation: Attestation, party: Party, circumstances: Circumstances) -> None:
        """Raise `RegisterUnavailable` for a trust anchor without registers: it may not judge blindly."""
        if circumstances.registers is None and party is Party.TRUST_ANCHOR:
            raise RegisterUnavailable("no register")
        self.attestation = attestation
        self.party = party
        self.at_source = party is Party.DOCUMENT_SOURCE
        """Whether a document source judges the claim of a token."""
        self.circumstances = circumstances
        self.registers: Registers | None = circumstances.registers
        self._hpr_person: tuple[HprPerson | None] | None = None
        self._numbers: dict[tuple[str, bool], PersonNumber] = {}
        self._organisations: dict[str, Organisation | None] = {}

    @property
    def practitioner_number(self) -> str | None:
        """The practitioner's number as far as it is established: by login, else by the attestation."""
        if self.circumstances.established_by == "login":
            return self.circumstances.authenticated_person
        identifier = self.attestation.practitioner.identifier
        if identifier is None or self.person_number(identifier.id).kind not in (Kind.F_NUMBER, Kind.D_NUMBER):
            return None
        return identifier.id

    def person_number(self, number: str, *, help_number: bool = False) -> PersonNumber:
        """What a person's number is, judged now and by the policy on test persons; worked out once."""
        known = self._numbers.get((number, help_number))
        if known is None:
            known = self._numbers[number, help_number] = read_person_number(
                number,
                now=self.circumstances.now,
                synthetic=self.circumstances.synthetic_identifiers,
                help_number=help_number,
            )
        return known

    def unit_fault(self, unit: Identifier) -> str | None:
        """What keeps a unit from being one of the register of enterprises, by system and number alone."""
        if unit.system != ORGANISATION_NUMBER:
            return "no organisation number"
        return organisation_number_fault(unit.id, synthetic=self.circumstances.synthetic_identifiers)

    def hpr_person(self, registers: Registers) -> HprPerson | None:
        """The practitioner in HPR; asked once."""
        if self._hpr_person is None:
            number = self.practitioner_number
            self._hpr_person = (registers.hpr.person(number) if number is not None else None,)
        return self._hpr_person[0]

    def organisation(self, registers: Registers, number: str) -> Organisation | None:
        """A unit in the register of enterprises; each number is asked once."""
        if number not in self._organisations:
            self._organisations[number] = registers.organisations.organisation(number)
        return self._organisations[number]

    def belongs(self, registers: Registers, unit: str) -> bool:
        """Whether a unit is the legal entity itself or registered under it (X-7, X-8)."""
        legal_entity = self.attestation.practitioner.legal_entity.id
        if unit == legal_entity:
            return True
        entry = self.organisation(registers, unit)
        return entry is not None and entry.legal_entity == legal_entity


def refuse(
    rule: str,
    path: str,
    text: str,
    *,
    code: str = INVALID,
    expected: str | None = None,
    found: str | None = None,
) -> tuple[Violation]:
    """A rule's single finding."""
    return (Violation(rule, path, text, code, expected, found),)


def wrong_system(rule: str, path: str, system: str, expected: str) -> tuple[Violation]:
    """The finding that a member names no system, or another one than the only one allowed."""
    text = f"{expected} needed" if system else "missing"
    return refuse(rule, f"{path}.system", text, expected=expected, found=mention(system))
