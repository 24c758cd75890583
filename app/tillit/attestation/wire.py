"""JSON to model and back: lenient in, strict out. Nothing else knows how clients spell an attestation.

The normalisations N-1 to N-11 of the specification (section 2.3) happen here and in `reading`, nowhere else;
values are judged by the rulebook. Out goes one spelling, its members in the order of the published examples.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tillit.attestation.findings import Violation, by_rule
from tillit.attestation.model import Attestation, Coding, Identifier, Patient, Practitioner
from tillit.attestation.reading import Reader

ATTESTATION_TYPE: Final = "nhn:tillitsrammeverk:parameters"
OTHER_TYPES: Final = frozenset({"helseid_authorization", "nhn:sfm:journal-id"})
"""Types that may stand beside an attestation; others are refused (RFC 9396 §5)."""

LARGEST: Final = 16 * 1024
"""Bytes of JSON an attestation may have."""
DEEPEST: Final = 6
"""Levels of objects and arrays the claim may have."""

Parsed = tuple[Attestation | None, tuple[Violation, ...], tuple[str, ...]]

_NOT_JSON: Final = "not valid JSON"
_TOO_LARGE: Final = f"larger than {LARGEST} bytes"
_TOO_DEEP: Final = f"more than {DEEPEST} levels deep"


class Malformed(ValueError):
    """A token's attestation claim is not what a trust anchor issues. Never holds a value from the claim."""


def parse_attestation(value: Any, *, carrier_iat: int, claim: str = "assertion_details") -> Parsed:
    """Read an attestation as clients send it; never raises, whatever JSON value it is given.

    `value` is the attestation object, or the whole content of the claim named `claim`: an array of objects
    told apart by `type`, or either of them as a string that holds JSON (N-1, N-2). `carrier_iat`, in Unix
    seconds, stands in for an absent `toa`. Returns the attestation, the violations of its shape (ATT-1,
    ATT-TYPE, ATT-SHAPE) and notes on what was normalised. With violations the attestation may have empty
    members: it can then be judged for a fuller report, but must not be accepted.
    """
    notes: tuple[str, ...] = ()
    if type(value) is str:
        notes = ("N-1: the claim is a string that holds JSON",)
        value = _json_in(value, claim)
    found = value if isinstance(value, Violation) else _the_attestation(value, claim)
    if isinstance(found, Violation):
        return None, (found,), notes
    reader = Reader()
    attestation = reader.attestation(found, carrier_iat)
    if reader.faults and _too_deep(found):
        return None, (Violation("ATT-1", claim, _TOO_DEEP),), notes
    faults = by_rule(reader.faults) if reader.faults else ()
    return attestation, faults, (*notes, *reader.notes)


def from_claim(claim: Any) -> Attestation:
    """Read the attestation claim of a verified access token, as a document source does.

    Knows one spelling only, ignores members it does not know (a newer issuer may add some; HelseID may repeat
    `type`) and raises `Malformed` when a member that every token has is missing or of the wrong type.
    """
    if type(claim) is not dict:
        raise Malformed("an object is needed")
    reader = Reader(issued=True)
    attestation = reader.attestation(claim, None)
    if reader.faults:
        raise Malformed(reader.faults[0].description)
    who, why = attestation.practitioner, attestation.care_relationship
    present = {
        "toa": attestation.toa >= 0,
        "practitioner.identifier": who.identifier is not None,
        "practitioner.legal_entity": bool(who.legal_entity.id),
        "practitioner.point_of_care": bool(who.point_of_care.id),
        "care_relationship.purpose_of_use": bool(why.purpose_of_use.code),
        "care_relationship.decision_ref": bool(why.decision_ref.id),
        "care_relationship.decision_ref.user_selected": why.decision_ref.user_selected is not None,
    }
    for path, given in present.items():
        if not given:
            raise Malformed(f"{path}: missing or unreadable")
    return attestation


def to_claim(attestation: Attestation) -> dict[str, Any]:
    """The attestation as the claim of an access token (without `type`), members in the published order."""
    why = attestation.care_relationship
    care: dict[str, Any] = {}
    if why.healthcare_service is not None:
        care["healthcare_service"] = _coding(why.healthcare_service)
    care["purpose_of_use"] = _coding(why.purpose_of_use)
    if why.purpose_of_use_details is not None:
        care["purpose_of_use_details"] = _coding(why.purpose_of_use_details)
    care["decision_ref"] = {"id": why.decision_ref.id, "user_selected": why.decision_ref.user_selected}
    return {
        "toa": attestation.toa,
        "practitioner": _practitioner(attestation.practitioner),
        "care_relationship": care,
        "patients": [_patient(patient) for patient in attestation.patients],
    }


def _practitioner(who: Practitioner) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if who.identifier is not None:
        written["identifier"] = _identifier(who.identifier)
    if who.hpr_nr is not None:
        written["hpr_nr"] = _identifier(who.hpr_nr)
    if who.authorization is not None:
        written["authorization"] = _coding(who.authorization)
    written["legal_entity"] = _identifier(who.legal_entity)
    written["point_of_care"] = _identifier(who.point_of_care)
    if who.department is not None:
        written["department"] = _identifier(who.department)
    return written


def _patient(patient: Patient) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if patient.identifier is not None:
        written["identifier"] = _identifier(patient.identifier)
    if patient.point_of_care is not None:
        written["point_of_care"] = _identifier(patient.point_of_care)
    if patient.department is not None:
        written["department"] = _identifier(patient.department)
    return written


def _identifier(value: Identifier) -> dict[str, str]:
    written = {"id": value.id}
    if value.name is not None:
        written["name"] = value.name
    written["system"] = value.system
    if value.authority is not None:
        written["authority"] = value.authority
    return written


def _coding(value: Coding) -> dict[str, str]:
    written = {"code": value.code}
    if value.text is not None:
        written["text"] = value.text
    written["system"] = value.system
    if value.assigner is not None:
        written["assigner"] = value.assigner
    return written


def _json_in(text: str, claim: str) -> Any:
    if len(text) > LARGEST:
        return Violation("ATT-1", claim, _TOO_LARGE)
    try:
        value = json.loads(text, object_pairs_hook=_each_member_once, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return Violation("ATT-1", claim, _NOT_JSON)
    return Violation("ATT-1", claim, "a string within a string") if type(value) is str else value


def _each_member_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise ValueError("a member given twice")
    return unique


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _the_attestation(value: Any, claim: str) -> dict[str, Any] | Violation:
    """The one attestation object in a claim of bounded size."""
    try:
        size = len(orjson.dumps(value))
    except (TypeError, RecursionError):
        return Violation("ATT-1", claim, _NOT_JSON)
    if size > LARGEST:
        return Violation("ATT-1", claim, _TOO_LARGE)
    if type(value) is list:
        return _among(value, claim)
    if type(value) is not dict:
        return Violation("ATT-SHAPE", claim, "object or array of objects needed", expected="object")
    if value.get("type") != ATTESTATION_TYPE:
        return _type_fault(value, f"{claim}.type")
    return value


def _among(values: list[Any], claim: str) -> dict[str, Any] | Violation:
    if _too_deep(values):
        return Violation("ATT-1", claim, _TOO_DEEP)
    found: dict[str, Any] | None = None
    for index, value in enumerate(values):
        path = f"{claim}[{index}]"
        if type(value) is not dict:
            return Violation("ATT-SHAPE", path, "object needed", expected="object")
        if value.get("type") == ATTESTATION_TYPE:
            if found is not None:
                return Violation("ATT-SHAPE", path, "a second attestation")
            found = value
        elif type(value.get("type")) is not str or value["type"] not in OTHER_TYPES:
            return _type_fault(value, f"{path}.type")
    return found or Violation("ATT-TYPE", claim, f"no object of type {ATTESTATION_TYPE}")


def _type_fault(value: Mapping[str, Any], path: str) -> Violation:
    text = "unknown type" if "type" in value else "missing"
    return Violation("ATT-TYPE", path, text, expected=ATTESTATION_TYPE)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [child for parent in level for child in _children(parent)]
    return any(isinstance(child, dict | list) for child in level)


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
