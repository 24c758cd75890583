"""Rules on the attestation as a whole: for which patients it serves (ATT-4, ATT-6)."""

from tillit.attestation.case import NOTHING, Case, Findings, refuse
from tillit.attestation.findings import DENIED, INVALID, Remark, Violation
from tillit.attestation.identifiers import SYSTEM_OF_KIND
from tillit.attestation.model import Identifier
from tillit.attestation.systems import H_NUMBER, PERSON_NUMBERS


def bound_to_its_patients(case: Case) -> Findings:
    """ATT-4: every patient's number is understandable, nobody is named twice, and nobody else is served."""
    patients = case.attestation.patients
    policy = case.circumstances.patient_identifier
    named: set[str] = set()
    for index, patient in enumerate(patients):
        path = f"patients[{index}].identifier"
        if patient.identifier is None:
            if policy == "required":
                yield Violation("ATT-4", path, "missing")
            elif len(patients) > 1:
                yield Violation("ATT-4", path, "needed when there is more than one patient")
            continue
        if policy == "forbidden":
            yield Violation("ATT-4", path, "not accepted here")
        elif not case.at_source:
            yield from _number(case, patient.identifier, path)
        if patient.identifier.id in named:
            yield Violation("ATT-4", f"{path}.id", "the same patient twice")
        named.add(patient.identifier.id)
    requested = case.circumstances.requested_patient
    if case.at_source and requested is not None and named and requested not in named:
        yield Violation("ATT-4", "patients", "attested for another patient", DENIED)
    if len(patients) > 1:
        yield Remark("ATT-4", "patients", "more than one patient: some readers take only the first")


def patient_where_needed(case: Case) -> Findings:
    """ATT-6: an attestation without any patient opens nothing about a single patient."""
    circumstances = case.circumstances
    if case.attestation.patients:
        return NOTHING
    code = DENIED if case.at_source else INVALID
    if case.at_source and circumstances.requested_patient is not None:
        return refuse("ATT-6", "patients", "empty, the request concerns a patient", code=code)
    if circumstances.scope_needs_patient:
        return refuse("ATT-6", "patients", "empty, a requested scope needs a patient", code=code)
    return NOTHING


def _number(case: Case, identifier: Identifier, path: str) -> Findings:
    system = identifier.system
    if system not in PERSON_NUMBERS and system != H_NUMBER:
        return refuse("ATT-4", f"{path}.system", "F-number, D-number or H-number needed")
    kind, fault = case.person_number(identifier.id, help_number=system == H_NUMBER)
    if fault:
        return refuse("ATT-4", f"{path}.id", fault)
    if kind is None or SYSTEM_OF_KIND[kind] != system:
        return refuse("ATT-4", f"{path}.system", "names another kind of number")
    return NOTHING
