"""Rules on where the patient is treated (ATT-49 to ATT-57)."""

from tillit.attestation.case import NOTHING, Case, Findings, refuse, wrong_system
from tillit.attestation.findings import Remark, Violation
from tillit.attestation.model import Identifier
from tillit.attestation.systems import ORGANISATION_NUMBER


def unit_of_the_contact(case: Case) -> Findings:
    """ATT-49: the patient's point of care is numbered as in the register of enterprises."""
    for index, patient in enumerate(case.attestation.patients):
        if patient.point_of_care is not None:
            yield from _numbered(case, patient.point_of_care, f"patients[{index}].point_of_care")


def inside_the_enterprise(case: Case) -> Findings:
    """ATT-51: the patient's point of care lies in the practitioner's own enterprise (X-8)."""
    if case.registers is None or case.unit_fault(case.attestation.practitioner.legal_entity):
        return
    for index, patient in enumerate(case.attestation.patients):
        unit = patient.point_of_care
        if unit is None or case.unit_fault(unit) or case.belongs(case.registers, unit.id):
            continue
        yield Violation("ATT-51", f"patients[{index}].point_of_care", "not a unit of legal_entity")


def department_where_demanded(case: Case) -> Findings:
    """ATT-53: an enterprise with units below the register names the patient's, where it names the place."""
    if not case.circumstances.department_required:
        return
    for index, patient in enumerate(case.attestation.patients):
        if patient.point_of_care is not None and patient.department is None:
            yield Violation("ATT-53", f"patients[{index}].department", "missing")


def department_with_its_place(case: Case) -> Findings:
    """ATT-56: a patient's department stands beside the point of care it belongs to (X-9, journal only)."""
    for index, patient in enumerate(case.attestation.patients):
        if patient.department is not None and patient.point_of_care is None:
            yield Remark("ATT-56", f"patients[{index}].department", "without point_of_care")


def _numbered(case: Case, unit: Identifier, path: str) -> Findings:
    if not unit.id:
        return refuse("ATT-49", f"{path}.id", "missing")
    if unit.system != ORGANISATION_NUMBER:
        return wrong_system("ATT-49", path, unit.system, ORGANISATION_NUMBER)
    fault = case.unit_fault(unit)
    return refuse("ATT-49", f"{path}.id", fault) if fault else NOTHING
