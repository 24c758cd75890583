"""What a document source may rely on after a request was verified."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tillit.attestation.model import Attestation


@dataclass(frozen=True, slots=True)
class Person:
    """The practitioner. Show a citizen `name`, never `number`, the national identity number (ATT-8)."""

    number: str = field(repr=False)
    name: str | None = field(repr=False)
    hpr_number: str | None = field(repr=False)
    authorization: str | None
    established_by: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """Where the practitioner acts: organisation numbers, and names where the token carries them."""

    legal_entity: str
    legal_entity_name: str | None = None
    point_of_care: str | None = None
    point_of_care_name: str | None = None
    department: str | None = None
    department_name: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A verified request.

    Everything in it was signed by the issuer and belongs to the holder of the proof key. `attestation`,
    `person` and `organisation` are None when the token carries no attestation (possible only with
    `require_attestation=False`). `patients` are the numbers the attestation is bound to; empty means that the
    token is not bound to a patient (ATT-6). `expires_at` is in Unix seconds. `claims` is the whole payload of
    the token. The repr shows no personal data.
    """

    person: Person | None = field(repr=False)
    organisation: Organisation | None
    attestation: Attestation | None = field(repr=False)
    scope: tuple[str, ...]
    client_id: str
    subject: str = field(repr=False)
    purpose: str | None
    patients: frozenset[str] = field(repr=False)
    token_id: str
    expires_at: int
    key_thumbprint: str
    claims: Mapping[str, Any] = field(repr=False)


def person_of(attestation: Attestation, established_by: str) -> Person | None:
    """Give the practitioner of an attestation, or None when it names nobody."""
    practitioner = attestation.practitioner
    identifier = practitioner.identifier
    if identifier is None:
        return None
    return Person(
        number=identifier.id,
        name=identifier.name,
        hpr_number=practitioner.hpr_nr.id if practitioner.hpr_nr else None,
        authorization=practitioner.authorization.code if practitioner.authorization else None,
        established_by=established_by,
    )


def organisation_of(attestation: Attestation) -> Organisation:
    """Give the enterprise, its unit and its department from an attestation."""
    practitioner = attestation.practitioner
    department = practitioner.department
    return Organisation(
        legal_entity=practitioner.legal_entity.id,
        legal_entity_name=practitioner.legal_entity.name,
        point_of_care=practitioner.point_of_care.id,
        point_of_care_name=practitioner.point_of_care.name,
        department=department.id if department else None,
        department_name=department.name if department else None,
    )
