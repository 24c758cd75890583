"""What the register of health personnel says of a person, as HelseID's clients read it at userinfo."""

from typing import Any

from tillit.attestation.registers import HprCode, HprPerson

HPR_DETAILS = "helseid://claims/hpr/hpr_details"


def hpr_details(person: HprPerson) -> dict[str, Any]:
    """``person`` with every authorization that is valid, in the order of their codes.

    The number inside is a JSON number, unlike the claim beside it.
    """
    return {
        "hpr_number": int(person.hpr_number),
        "approvals": [
            {
                "profession": approval.profession,
                "authorization": _coded(approval.authorization),
                "requisition_rights": [_coded(right) for right in approval.requisition_rights],
                "specialities": [_coded(speciality) for speciality in approval.specialities],
            }
            for approval in person.approvals
        ],
    }


def _coded(code: HprCode) -> dict[str, str]:
    return {"value": code.value, "description": code.description}
