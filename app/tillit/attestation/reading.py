"""The shapes of an attestation as they come in: folds spellings, checks members and types, counts faults."""

import unicodedata
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from tillit.attestation.codes import code_systems
from tillit.attestation.findings import Violation, mention
from tillit.attestation.identifiers import SYSTEM_OF_KIND, kind_by_first_digits
from tillit.attestation.model import (
    NO_CODE,
    NO_DECISION,
    NO_TIME,
    NOT_GIVEN,
    Attestation,
    CareRelationship,
    Coding,
    Decision,
    Identifier,
    Patient,
    Practitioner,
)
from tillit.attestation.systems import NATIONAL_IDENTIFIERS, PERSON_NUMBERS, canonical_oid

MOST_PATIENTS: Final = 50
MOST_FAULTS: Final = 20
"""Reading stops reporting after this many faults, so that nonsense costs no more than sense."""
UNREADABLE: Final = frozenset({"object", "array", "string"})
"""What a fault expects when nothing of the member could be read; unknown members expect none of these."""

_IDENTIFIER: Final = frozenset({"id", "name", "system", "authority"})
_CODING: Final = frozenset({"code", "text", "system", "assigner"})
_DECISION: Final = frozenset({"id", "user_selected", "description"})
_PRACTITIONER: Final = frozenset(
    {"identifier", "hpr_nr", "authorization", "legal_entity", "point_of_care", "department"}
)
_CARE: Final = frozenset({"healthcare_service", "purpose_of_use", "purpose_of_use_details", "decision_ref"})
_PATIENT: Final = frozenset({"identifier", "point_of_care", "department"})
_ATTESTATION: Final = frozenset({"type", "toa", "practitioner", "care_relationship", "patients"})

_OTHER_SPELLINGS: Final = {"care_relation": "care_relationship"}


def _system_spellings() -> dict[str, str]:
    codes = code_systems()
    known = {urn: urn for urn in (*codes.systems, *NATIONAL_IDENTIFIERS)}
    for urn in tuple(known):
        if urn.startswith("urn:oid:"):
            known |= {urn.removeprefix("urn:oid:"): urn, urn.removeprefix("urn:"): urn}
    return known | dict(codes.aliases)


_SYSTEMS: Final = _system_spellings()
_CODINGS: Final = {
    (code, urn): Coding(code, urn) for urn, listed in code_systems().systems.items() for code in listed.texts
}
"""Every code we know, made once."""


class Reader:
    """Reads one attestation; afterwards `faults` and `notes` say what was found on the way.

    `issued=True` reads the claim of a token instead: one spelling, unknown members ignored, names kept.
    """

    __slots__ = ("faults", "issued", "notes")

    def __init__(self, *, issued: bool = False) -> None:
        self.faults: list[Violation] = []
        self.notes: list[str] = []
        self.issued = issued

    def attestation(self, value: dict[str, Any], carrier_iat: int | None) -> Attestation:
        """The whole object; members that are missing or unreadable are empty, with a fault for the latter."""
        members = self._members(value, _ATTESTATION, "")
        toa = members.get("toa", carrier_iat)
        return Attestation(
            practitioner=self._practitioner(members),
            care_relationship=self._care_relationship(members),
            patients=self._patients(members),
            toa=toa if type(toa) is int else NO_TIME,
            toa_from_carrier="toa" not in members,
        )

    def _practitioner(self, parent: Mapping[str, Any]) -> Practitioner:
        members = self._object(parent, "practitioner", "practitioner", _PRACTITIONER, required=True)
        if members is None:
            return Practitioner()
        return Practitioner(
            legal_entity=self._identifier(members, "legal_entity", "practitioner.legal_entity") or NOT_GIVEN,
            point_of_care=self._identifier(members, "point_of_care", "practitioner.point_of_care")
            or NOT_GIVEN,
            identifier=self._identifier(members, "identifier", "practitioner.identifier"),
            hpr_nr=self._identifier(members, "hpr_nr", "practitioner.hpr_nr"),
            authorization=self._coding(members, "authorization", "practitioner.authorization"),
            department=self._identifier(members, "department", "practitioner.department", local_name=True),
        )

    def _care_relationship(self, parent: Mapping[str, Any]) -> CareRelationship:
        path = "care_relationship"
        members = self._object(parent, path, path, _CARE, required=True)
        if members is None:
            return CareRelationship()
        return CareRelationship(
            purpose_of_use=self._coding(members, "purpose_of_use", f"{path}.purpose_of_use") or NO_CODE,
            decision_ref=self._decision(members, f"{path}.decision_ref"),
            healthcare_service=self._coding(members, "healthcare_service", f"{path}.healthcare_service"),
            purpose_of_use_details=self._coding(
                members, "purpose_of_use_details", f"{path}.purpose_of_use_details"
            ),
        )

    def _patients(self, parent: Mapping[str, Any]) -> tuple[Patient, ...]:
        value = parent.get("patients")
        if type(value) is dict and not self.issued:
            self.notes.append("N-6: patients is an object")
            value = [value]
        if type(value) is not list:
            self._fault("patients", "array needed" if "patients" in parent else "missing", "array")
            return ()
        if len(value) > MOST_PATIENTS:
            self._fault("patients", f"at most {MOST_PATIENTS}", "array")
            return ()
        return tuple(self._patient(element, f"patients[{index}]") for index, element in enumerate(value))

    def _patient(self, value: Any, path: str) -> Patient:
        members = self._object({"": value}, "", path, _PATIENT)
        if not members:
            return Patient()
        return Patient(
            identifier=self._patient_number(members, f"{path}.identifier"),
            point_of_care=self._identifier(members, "point_of_care", f"{path}.point_of_care"),
            department=self._identifier(members, "department", f"{path}.department", local_name=True),
        )

    def _patient_number(self, members: Mapping[str, Any], path: str) -> Identifier | None:
        identifier = self._identifier(members, "identifier", path)
        if identifier is None or identifier.system not in PERSON_NUMBERS or self.issued:
            return identifier
        kind = kind_by_first_digits(identifier.id)
        if kind is None or SYSTEM_OF_KIND[kind] == identifier.system:
            return identifier
        self.notes.append(f"N-8: {path}.system follows the number")
        return Identifier(identifier.id, SYSTEM_OF_KIND[kind])

    def _identifier(
        self, parent: Mapping[str, Any], key: str, path: str, *, local_name: bool = False
    ) -> Identifier | None:
        read = self._pair(parent, key, path, _IDENTIFIER, "id")
        if read is None:
            return None
        members, number, system = read
        name = self._text(members, "name", path) if "name" in members else None
        authority = self._text(members, "authority", path) if "authority" in members else None
        if self.issued:
            return Identifier(number, system, name, authority)
        # N-5: what a register knows is ours to say; only a local department brings its own name.
        if local_name and system not in NATIONAL_IDENTIFIERS:
            return Identifier(number, system, unicodedata.normalize("NFC", name) if name else None, authority)
        return Identifier(number, system)

    def _coding(self, parent: Mapping[str, Any], key: str, path: str) -> Coding | None:
        read = self._pair(parent, key, path, _CODING, "code")
        if read is None:
            return None
        members, code, system = read
        text = self._text(members, "text", path) if "text" in members else None
        assigner = self._text(members, "assigner", path) if "assigner" in members else None
        if self.issued:
            return Coding(code, system, text, assigner)
        return _CODINGS.get((code, system)) or Coding(code, system)

    def _pair(
        self, parent: Mapping[str, Any], key: str, path: str, allowed: frozenset[str], first: str
    ) -> tuple[Mapping[str, Any], str, str] | None:
        """An object, its member `first` and its `system`: what an attestation has most of, so read in one."""
        members: Mapping[str, Any] | None = parent.get(key)
        if type(members) is not dict or not members.keys() <= allowed:
            members = self._object(parent, key, path, allowed)
            if members is None:
                return None
        value = members.get(first, "")
        if type(value) is not str:
            value = self._text(members, first, path)
        sent = members.get("system")
        system = _SYSTEMS.get(sent) if type(sent) is str else None
        return members, value, system or self._system(members, path)

    def _decision(self, parent: Mapping[str, Any], path: str) -> Decision:
        members = self._object(parent, "decision_ref", path, _DECISION)
        if members is None:
            return NO_DECISION
        if "description" in members:
            self._text(members, "description", path)  # N-7: dropped, but a text it must be
        chosen = members.get("user_selected")
        return Decision(self._text(members, "id", path), chosen if type(chosen) is bool else None)

    def _system(self, members: Mapping[str, Any], path: str) -> str:
        system = self._text(members, "system", path)
        known = _SYSTEMS.get(system)
        if known is not None:
            return known
        return system if self.issued else canonical_oid(system)

    def _text(self, members: Mapping[str, Any], key: str, path: str) -> str:
        value = members.get(key, "")
        if type(value) is str:
            return value
        self._fault(f"{path}.{key}", "string needed", "string")
        return ""

    def _object(
        self,
        parent: Mapping[str, Any],
        key: str,
        path: str,
        allowed: frozenset[str],
        *,
        required: bool = False,
    ) -> Mapping[str, Any] | None:
        value = parent.get(key)
        if type(value) is dict:
            return value if value.keys() <= allowed else self._members(value, allowed, path)
        if key in parent:
            self._fault(path, "object needed", "object")
        elif required:
            self._fault(path, "missing", "object")
        return None

    def _members(self, value: dict[str, Any], allowed: frozenset[str], path: str) -> dict[str, Any]:
        """The members under their one spelling (N-3); unknown ones and doubles are faults."""
        if value.keys() <= allowed:
            return value
        if self.issued:
            return {name: member for name, member in value.items() if name in allowed}
        folded: dict[str, Any] = {}
        for given, member in value.items():
            name = given.replace("-", "_")
            name = _OTHER_SPELLINGS.get(name, name)
            if name not in allowed:
                self._unknown(given, name, allowed, path)
                continue
            if name in folded:
                self._fault(f"{path}.{name}" if path else name, "given in two spellings")
            elif given != name:
                self.notes.append(f"N-3: {name} in another spelling")
            folded[name] = member
        return folded

    def _unknown(self, given: str, name: str, allowed: frozenset[str], path: str) -> None:
        if len(self.faults) >= MOST_FAULTS:
            return
        shown = mention(given)
        nearest = get_close_matches(name, sorted(allowed), 1) if shown else []
        text = f"unknown member {shown}" if shown else "unknown member"
        self._fault(path, f"{text} ({nearest[0]}?)" if nearest else text)

    def _fault(self, path: str, text: str, expected: str | None = None) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Violation("ATT-SHAPE", path, text, expected=expected))
