"""What the trust anchor adds, and that it adds nothing it does not know."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tillit.attestation.codes import code_systems
from tillit.attestation.enrichment import enrich
from tillit.attestation.model import Attestation, Coding, Identifier, Patient
from tillit.attestation.registers import Registers, RegisterUnavailable
from tillit.attestation.systems import H_NUMBER, RESH_ID
from tillit.attestation.wire import parse_attestation

Example = Callable[[str], dict[str, Any]]
CODES = code_systems()
DOCTOR = "14857527039"


@pytest.fixture
def attestation(example: Example) -> Attestation:
    """The specialist's attestation as it was sent."""
    parsed, _, _ = parse_attestation(example("specialist-care")["input"], carrier_iat=1768465800)
    assert parsed is not None
    return parsed


def test_att_7_the_person_is_issued(attestation: Attestation, registers: Registers):
    """Whoever logged in stands in the token, with name and HPR number, though the client sent neither."""
    practitioner = enrich(attestation, registers, CODES, person=DOCTOR).practitioner
    assert practitioner.identifier is not None
    assert practitioner.hpr_nr is not None
    assert (practitioner.identifier.id, practitioner.identifier.name) == (DOCTOR, "KLAR SKOGSTJERNE")
    assert practitioner.hpr_nr.id == "222209991"


def test_the_number_decides_which_register_it_is_from(attestation: Attestation, registers: Registers):
    """A D-number is issued as one, whatever system the client named."""
    person = Identifier("54857527022", "urn:oid:2.16.578.1.12.4.1.4.1")
    named = replace(attestation, practitioner=replace(attestation.practitioner, identifier=person))
    issued = enrich(named, registers, CODES).practitioner.identifier
    assert issued is not None
    assert issued.system == "urn:oid:2.16.578.1.12.4.1.4.2"


def test_the_clients_hpr_number_gives_way_to_the_registers(attestation: Attestation, registers: Registers):
    """What is issued as HPR number is what HPR says."""
    sent = Identifier("1", "urn:oid:2.16.578.1.12.4.1.4.4")
    named = replace(attestation, practitioner=replace(attestation.practitioner, hpr_nr=sent))
    issued = enrich(named, registers, CODES, person=DOCTOR).practitioner.hpr_nr
    assert issued is not None
    assert issued.id == "222209991"
    assert enrich(named, registers, CODES, person="16858399649").practitioner.hpr_nr is None


def test_a_code_of_an_open_list_goes_without_a_text(attestation: Attestation, registers: Registers):
    """A code that a partly known list lacks is issued with its owner and without a text."""
    service = Coding("215", "urn:oid:2.16.578.1.12.4.1.1.8451")
    care = replace(attestation.care_relationship, healthcare_service=service)
    issued = enrich(replace(attestation, care_relationship=care), registers, CODES, person=DOCTOR)
    assert issued.care_relationship.healthcare_service == replace(
        service, assigner="https://www.helsedirektoratet.no/"
    )


def test_a_code_system_admitted_by_configuration_is_issued_as_sent(
    attestation: Attestation, registers: Registers
):
    """A code system we have no list of is passed on with what we know of it: nothing."""
    details = Coding("X1", "https://kodeverk.example/hendelser")
    care = replace(attestation.care_relationship, purpose_of_use_details=details)
    issued = enrich(replace(attestation, care_relationship=care), registers, CODES, person=DOCTOR)
    assert issued.care_relationship.purpose_of_use_details == details


def test_a_local_department_belongs_to_its_enterprise(attestation: Attestation, registers: Registers):
    """A local unit keeps its own name; the enterprise that answers for it is filled in (ATT-28, X-11)."""
    local = Identifier("avd-2", "https://nordfjell.example/enheter", "Avdeling 2")
    patient = Patient(Identifier("98765432103", H_NUMBER), None, local)
    named = replace(attestation, patients=(patient,))
    issued = enrich(named, registers, CODES, person=DOCTOR).patients[0]
    assert issued.department == replace(local, authority="310000019")
    assert issued.identifier == Identifier("98765432103", H_NUMBER, None, "https://www.nhn.no/")


def test_a_unit_that_resh_does_not_know_goes_without_a_name(attestation: Attestation, registers: Registers):
    """No rule refuses an unknown RESH id; the token then has no name for it."""
    unknown = Identifier("1234567", RESH_ID)
    named = replace(attestation, practitioner=replace(attestation.practitioner, department=unknown))
    issued = enrich(named, registers, CODES, person=DOCTOR).practitioner.department
    assert issued == replace(unknown, authority="https://www.nhn.no/")


def test_a_register_that_is_away_is_not_passed_over(attestation: Attestation, registers: Registers):
    """A token with facts missing because a register was away would be a different token; there is none."""

    class Away:
        """A register that does not answer."""

        def person(self, _person_id: str) -> None:
            """Nothing comes."""
            raise RegisterUnavailable("HPR")

    with pytest.raises(RegisterUnavailable, match="HPR cannot be asked now"):
        enrich(attestation, replace(registers, hpr=Away()), CODES, person=DOCTOR)


def test_the_time_of_attestation_is_never_touched(attestation: Attestation, registers: Registers):
    """Enriching makes no attestation younger."""
    issued = enrich(attestation, registers, CODES, person=DOCTOR)
    assert (issued.toa, issued.toa_from_carrier) == (attestation.toa, attestation.toa_from_carrier)
