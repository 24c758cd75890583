"""A7: an attestation has limits, and what is beyond them is refused quickly."""

import json
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import SwiftEhr
from support.ehr import ATTESTATION, Answer, attestation
from support.intakes import CARRIER, claims, header, well_formed
from support.tokens import compact
from support.tokens_seen import attested
from support.wire import post

PROMPT = 1.0
"""Seconds, generous because tests share the machine; a good request takes 0.01."""
ONE = {"identifier": {"id": "05825031016", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}

LARGE: dict[str, tuple[Any, int, str]] = {
    "1,000 objects": (
        [{"type": f"t{n}"} for n in range(1_000)],
        400,
        "ATT-SHAPE: assertion_details: 1 to 16",
    ),
    "1,000 patients": ({**ATTESTATION, "patients": [{}] * 1_000}, 400, "ATT-SHAPE: patients: at most 50"),
    "51 patients": ({**ATTESTATION, "patients": [{}] * 51}, 400, "ATT-SHAPE: patients: at most 50"),
    "500 members": ({**ATTESTATION, **{f"m{n}": 1 for n in range(500)}}, 400, "ATT-SHAPE: unknown member"),
    "10,000 members": ({**ATTESTATION, **{f"m{n}": 1 for n in range(10_000)}}, 413, "body: more than"),
    "17 kB": ({**ATTESTATION, "x": "x" * 17_000}, 400, "ATT-1: "),
    "1 MB": ({**ATTESTATION, "x": "x" * 1_000_000}, 413, "body: more than"),
    "1 MB as text": ("x" * 1_000_000, 413, "body: more than"),
    "long decision": (attestation(care_relationship__decision_ref__id="d" * 5_000), 400, "ATT-47: "),
    "long code": (attestation(care_relationship__healthcare_service__code="c" * 5_000), 400, "ATT-37: "),
    "long system": (attestation(practitioner__department__system="urn:" + "s" * 5_000), 400, "ATT-28: "),
    "long number": (attestation(practitioner__legal_entity__id="1" * 5_000), 400, "ATT-15: "),
}


def sent(ehr: SwiftEhr, assertion: str) -> Answer:
    answer = post(ehr.service, urlencode(ehr.form(assertion)).encode(), [("DPoP", ehr.proof())])
    assert answer is not None
    return answer


@pytest.mark.parametrize("name", LARGE)
def test_a7_what_is_too_large_is_refused_quickly(name: str, attacker: SwiftEhr):
    """Too many objects, patients, members or letters: refused by name, in next to no time."""
    details, status, text = LARGE[name]
    assertion = attacker.assertion(details=details)
    attacker.nonce()
    started = time.monotonic()
    answer = sent(attacker, assertion)
    assert time.monotonic() - started < PROMPT
    assert answer.status == status
    assert answer.description.startswith(text)
    assert well_formed(answer)


def test_a7_a_request_of_64_kb_and_one_byte_is_too_large(attacker: SwiftEhr):
    """The limit of a body is exact, and an assertion within it but over its own limit is refused as such."""
    form = urlencode(attacker.form()).encode()
    for size, status in ((65_536, 400), (65_537, 413)):
        answer = post(attacker.service, form + b"&x=" + b"y" * (size - len(form) - 3), [("DPoP", "x")])
        assert answer is not None
        assert (answer.status, well_formed(answer)) == (status, True)
    over = compact(header(CARRIER, attacker), claims(CARRIER, attacker, pad="x" * 20_000), attacker.key)
    assert sent(attacker, over).status == 401


def test_a7_fifty_patients_and_sixteen_kilobytes_are_accepted(attacker: SwiftEhr):
    """The largest attestation there may be still gets its token."""
    numbers = ["05825031016", "63714815050", "23714815067", "98765432103", "23841252160"]
    systems = {"0": 1, "6": 2, "2": 1, "9": 3}
    patients = [
        {"identifier": {"id": number, "system": f"urn:oid:2.16.578.1.12.4.1.4.{systems[number[0]]}"}}
        for number in numbers
    ]
    details = attestation(patients=patients)
    details["care_relationship"]["decision_ref"]["description"] = "x" * (
        16_384 - len(json.dumps(details, separators=(",", ":"))) - len(',"description":""')
    )
    assert len(json.dumps(details, separators=(",", ":"))) == 16_384
    assert [p["identifier"]["id"] for p in attested(attacker.token(details))["patients"]] == numbers
    details["care_relationship"]["decision_ref"]["description"] += "x"
    assert attacker.token(details).description.startswith("ATT-1: assertion_details: larger than 16384 bytes")


def test_a7_an_error_stays_small_however_much_is_wrong(attacker: SwiftEhr):
    """A hundred faults give one short answer, about the first of them."""
    wrong = {**ATTESTATION, "patients": [{"identifier": {"id": "x" * 60, "system": "y"}} for _ in range(50)]}
    answer = sent(attacker, attacker.assertion(details=wrong))
    assert answer.status == 400
    assert len(answer.body) < 400
    assert ONE["identifier"]["id"].encode() not in answer.body
