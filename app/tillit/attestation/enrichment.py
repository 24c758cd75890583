"""What the trust anchor adds to an accepted attestation: names, texts, owners, HPR number (ATT-8, 29b)."""

from functools import lru_cache

from tillit.attestation.codes import CodeSystems
from tillit.attestation.identifiers import SYSTEM_OF_KIND, kind_by_first_digits
from tillit.attestation.model import Attestation, CareRelationship, Coding, Identifier, Patient, Practitioner
from tillit.attestation.registers import OrganisationRegister, Registers
from tillit.attestation.systems import AUTHORITIES, F_NUMBER, HPR_NUMBER, RESH_ID


def enrich(
    attestation: Attestation,
    registers: Registers,
    codes: CodeSystems,
    *,
    person: str | None = None,
    person_name: str | None = None,
) -> Attestation:
    """The attestation as it goes into a token, complete by what the registers and code lists say.

    `person` is the national number of the practitioner who logged in; without a login the attested one
    stands. The name comes from HPR, or is `person_name` as the login told it when HPR does not know the
    person; then `hpr_nr` is absent. Expects an attestation that `judge` accepted. Raises
    `RegisterUnavailable`.
    """
    who, why = attestation.practitioner, attestation.care_relationship
    units = _Units(registers.organisations, who.legal_entity.id)
    number = person or (who.identifier.id if who.identifier else None)
    entry = registers.hpr.person(number) if number else None
    return Attestation(
        practitioner=Practitioner(
            legal_entity=units.unit(who.legal_entity),
            point_of_care=units.unit(who.point_of_care),
            identifier=_person(number, entry.name if entry else person_name) if number else None,
            hpr_nr=_owned(entry.hpr_number, HPR_NUMBER) if entry else None,
            authorization=_coding(who.authorization, codes) if who.authorization else None,
            department=units.department(who.department) if who.department else None,
        ),
        care_relationship=CareRelationship(
            purpose_of_use=_coding(why.purpose_of_use, codes),
            decision_ref=why.decision_ref,
            healthcare_service=_coding(why.healthcare_service, codes) if why.healthcare_service else None,
            purpose_of_use_details=(
                _coding(why.purpose_of_use_details, codes) if why.purpose_of_use_details else None
            ),
        ),
        patients=tuple([_patient(patient, units) for patient in attestation.patients]),
        toa=attestation.toa,
        toa_from_carrier=attestation.toa_from_carrier,
    )


class _Units:
    """Names units for one legal entity."""

    __slots__ = ("_legal_entity", "_register")

    def __init__(self, register: OrganisationRegister, legal_entity: str) -> None:
        self._register = register
        self._legal_entity = legal_entity

    def unit(self, value: Identifier) -> Identifier:
        entry = self._register.organisation(value.id)
        return _unit(value.id, value.system, entry.name if entry else None)

    def department(self, value: Identifier) -> Identifier:
        if value.system != RESH_ID:
            return Identifier(value.id, value.system, value.name, self._legal_entity)
        entry = self._register.department(value.id)
        return _unit(value.id, value.system, entry.name if entry else None)


def _patient(patient: Patient, units: _Units) -> Patient:
    number = patient.identifier
    return Patient(
        identifier=_owned(number.id, number.system) if number else None,
        point_of_care=units.unit(patient.point_of_care) if patient.point_of_care else None,
        department=units.department(patient.department) if patient.department else None,
    )


def _person(number: str, name: str | None) -> Identifier:
    kind = kind_by_first_digits(number)
    return _owned(number, SYSTEM_OF_KIND[kind] if kind else F_NUMBER, name)


def _owned(number: str, system: str, name: str | None = None) -> Identifier:
    return Identifier(number, system, name, AUTHORITIES.get(system))


@lru_cache(maxsize=4096)
def _unit(number: str, system: str, name: str | None) -> Identifier:
    """Cached: units are public and few, and every attestation names several."""
    return _owned(number, system, name)


def _coding(coding: Coding, codes: CodeSystems) -> Coding:
    listed = codes.systems.get(coding.system)
    if listed is None:
        return coding
    return listed.codings.get(coding.code) or Coding(coding.code, coding.system, None, listed.assigner)
