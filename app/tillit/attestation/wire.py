"""JSON to model and back: lenient in, strict out. Nothing else knows how clients spell an attestation.

The normalisations N-1 to N-11 of the specification (section 2.3) happen here and nowhere else; values are judged
by the rulebook. Out goes one spelling, with the members in the order of the published examples.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import orjson

from tillit.attestation.findings import Violation, by_rule
from tillit.attestation.model import Attestation, Coding, Identifier
from tillit.attestation.reading import Reader

ATTESTATION_TYPE: Final = "nhn:tillitsrammeverk:parameters"
OTHER_TYPES: Final = frozenset({"helseid_authorization", "nhn:sfm:journal-id"})
"""Types that may stand beside an attestation; others are refused (RFC 9396 §5)."""

LARGEST: Final = 16 * 1024
"""Bytes of JSON an attestation may have."""
DEEPEST: Final = 6

Parsed = tuple[Attestation | None, tuple[Violation, ...], tuple[str, ...]]


class Malformed(ValueError):  # noqa: N818 - read as `Malformed`, like the protocol's `Rejected`
    """A token's attestation claim is not what a trust anchor issues. Never holds a value from the claim."""


def parse_attestation(value: Any, *, carrier_iat: int, claim: str = "assertion_details") -> Parsed:
    """Read an attestation as clients send it; never raises, whatever JSON value it is given.

    `value` is the attestation object, or the whole content of the claim named `claim`: an array of objects told
    apart by `type`, or either of them as a string that holds JSON (N-1, N-2). `carrier_iat`, in Unix seconds,
    stands in for an absent `toa`. Returns the attestation, the violations of its shape (ATT-1, ATT-TYPE,
    ATT-SHAPE) and notes on what was normalised. With violations the attestation may have empty members: it can
    then be judged for a fuller report, but not be accepted.
    """
    notes: list[str] = []
    if type(value) is str:
        if len(value) > LARGEST:
            return _refused("ATT-1", claim, f"larger than {LARGEST} bytes")
        try:
            value = _strict_json(value)
        except (ValueError, RecursionError):
            return _refused("ATT-1", claim, "not valid JSON")
        notes.append("N-1: the claim is a string that holds JSON")
    try:
        size = len(orjson.dumps(value))
    except (TypeError, RecursionError):
        return _refused("ATT-1", claim, "not valid JSON")
    if size > LARGEST:
        return _refused("ATT-1", claim, f"larger than {LARGEST} bytes")
    if type(value) is list:
        if _too_deep(value):
            return _refused("ATT-1", claim, f"more than {DEEPEST} levels deep")
        chosen, fault = _choose(value, claim)
        if fault:
            return None, fault, tuple(notes)
        value = chosen
    if type(value) is not dict:
        return _refused("ATT-SHAPE", claim, "object or array of objects needed")
    if value.get("type") != ATTESTATION_TYPE:
        return _refused("ATT-TYPE", f"{claim}.type", _type_fault(value))
    reader = Reader()
    attestation = reader.attestation(value, carrier_iat)
    if reader.faults and _too_deep(value):
        return _refused("ATT-1", claim, f"more than {DEEPEST} levels deep")
    return attestation, by_rule(reader.faults), (*notes, *reader.notes)


def to_claim(attestation: Attestation) -> dict[str, Any]:
    """The attestation as the claim of an access token (without `type`), members in the published order."""
    who = attestation.practitioner
    why = attestation.care_relationship
    practitioner: dict[str, Any] = {}
    if who.identifier is not None:
        practitioner["identifier"] = _identifier(who.identifier)
    if who.hpr_nr is not None:
        practitioner["hpr_nr"] = _identifier(who.hpr_nr)
    if who.authorization is not None:
        practitioner["authorization"] = _coding(who.authorization)
    practitioner["legal_entity"] = _identifier(who.legal_entity)
    practitioner["point_of_care"] = _identifier(who.point_of_care)
    if who.department is not None:
        practitioner["department"] = _identifier(who.department)
    care: dict[str, Any] = {}
    if why.healthcare_service is not None:
        care["healthcare_service"] = _coding(why.healthcare_service)
    care["purpose_of_use"] = _coding(why.purpose_of_use)
    if why.purpose_of_use_details is not None:
        care["purpose_of_use_details"] = _coding(why.purpose_of_use_details)
    care["decision_ref"] = {"id": why.decision_ref.id, "user_selected": why.decision_ref.user_selected}
    patients = []
    for patient in attestation.patients:
        element: dict[str, Any] = {}
        if patient.identifier is not None:
            element["identifier"] = _identifier(patient.identifier)
        if patient.point_of_care is not None:
            element["point_of_care"] = _identifier(patient.point_of_care)
        if patient.department is not None:
            element["department"] = _identifier(patient.department)
        patients.append(element)
    return {
        "toa": attestation.toa,
        "practitioner": practitioner,
        "care_relationship": care,
        "patients": patients,
    }


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
        "toa": "toa" in claim,
        "practitioner.identifier": who.identifier is not None,
        "practitioner.legal_entity": bool(who.legal_entity.id),
        "practitioner.point_of_care": bool(who.point_of_care.id),
        "care_relationship.purpose_of_use": bool(why.purpose_of_use.code),
        "care_relationship.decision_ref": bool(why.decision_ref.id),
        "care_relationship.decision_ref.user_selected": why.decision_ref.user_selected is not None,
    }
    missing = [path for path, given in present.items() if not given]
    if missing:
        raise Malformed(f"{missing[0]}: missing")
    return attestation


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


def _refused(rule: str, path: str, text: str) -> Parsed:
    return None, (Violation(rule, path, text),), ()


def _choose(values: list[Any], claim: str) -> tuple[dict[str, Any] | None, tuple[Violation, ...]]:
    """The one attestation among the objects of an array."""
    found: dict[str, Any] | None = None
    for index, value in enumerate(values):
        path = f"{claim}[{index}]"
        if type(value) is not dict:
            return None, (Violation("ATT-SHAPE", path, "object needed"),)
        if value.get("type") == ATTESTATION_TYPE:
            if found is not None:
                return None, (Violation("ATT-SHAPE", path, "a second attestation"),)
            found = value
        elif type(value.get("type")) is not str or value["type"] not in OTHER_TYPES:
            return None, (Violation("ATT-TYPE", f"{path}.type", _type_fault(value)),)
    if found is None:
        return None, (Violation("ATT-TYPE", claim, f"no object of type {ATTESTATION_TYPE}"),)
    return found, ()


def _type_fault(value: Mapping[str, Any]) -> str:
    return "unknown type" if "type" in value else "missing"


def _strict_json(text: str) -> Any:
    def once(members: list[tuple[str, Any]]) -> dict[str, Any]:
        unique = dict(members)
        if len(unique) != len(members):
            raise ValueError("duplicate member")
        return unique

    def never(_: str) -> Any:
        raise ValueError("not a JSON number")

    return json.loads(text, object_pairs_hook=once, parse_constant=never)


def _too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for parent in level
            if isinstance(parent, dict | list)
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return any(isinstance(value, dict | list) for value in level)
