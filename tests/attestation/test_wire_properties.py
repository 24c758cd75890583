"""Properties of reading and writing: nothing breaks the reader, and what is written can be read again."""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tillit.attestation.model import (
    Attestation,
    CareRelationship,
    Coding,
    Decision,
    Identifier,
    Patient,
    Practitioner,
)
from tillit.attestation.systems import CARE_RELATION, HEALTHCARE_SERVICES, ORGANISATION_NUMBER, RESH_ID
from tillit.attestation.wire import ATTESTATION_TYPE, from_claim, parse_attestation, to_claim

SIGNED = 1768465800

GOOD = {
    "type": ATTESTATION_TYPE,
    "toa": SIGNED,
    "practitioner": {
        "identifier": {"id": "14857527039", "system": "urn:oid:2.16.578.1.12.4.1.4.1"},
        "legal_entity": {"id": "310000019", "system": ORGANISATION_NUMBER},
        "point_of_care": {"id": "311540025", "system": ORGANISATION_NUMBER},
    },
    "care_relationship": {
        "purpose_of_use": {"code": "TREAT", "system": "urn:oid:2.16.840.1.113883.1.11.20448"},
        "healthcare_service": {"code": "210", "system": "urn:oid:2.16.578.1.12.4.1.1.8451"},
        "decision_ref": {"id": "a1", "user_selected": False},
    },
    "patients": [{"identifier": {"id": "05825031016", "system": "urn:oid:2.16.578.1.12.4.1.4.1"}}],
}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([ATTESTATION_TYPE, "urn:oid:2.16.578.1.12.4.1.4.1", "14857527039", "TREAT"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text()
            | st.sampled_from(
                ["type", "toa", "practitioner", "care_relation", "patients", "identifier", "id", "system"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


@given(value=json_values)
def test_reading_never_raises(value: Any):
    """Any JSON value at all is either an attestation or a list of what is wrong with it."""
    attestation, violations, _ = parse_attestation(value, carrier_iat=SIGNED)
    assert attestation is not None or violations


@given(replacement=json_values, data=st.data())
def test_reading_survives_any_member_replaced(replacement: Any, data: st.DataObject):
    """Whatever stands in place of one member of a good attestation, reading ends with an answer."""
    value: Any = copy.deepcopy(GOOD)
    target = value
    while True:
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
        if not isinstance(target[key], dict | list) or not target[key] or data.draw(st.booleans()):
            target[key] = replacement
            break
        target = target[key]
    attestation, violations, _ = parse_attestation(value, carrier_iat=SIGNED)
    assert attestation is not None or violations


@given(text=st.text())
def test_a_string_is_read_as_json_at_most_once(text: str):
    """A claim that is a string is parsed or refused, and a string within it is never parsed again."""
    attestation, violations, _ = parse_attestation(json.dumps(text), carrier_iat=SIGNED)
    assert attestation is None
    assert violations[0].rule == "ATT-1"


numbers = st.text("0123456789", min_size=1, max_size=12)
units = st.builds(Identifier, id=numbers, system=st.just(ORGANISATION_NUMBER))
local = st.builds(
    Identifier,
    id=st.text("abcdef-", min_size=1, max_size=20),
    system=st.just("https://fjordvik.example/organisasjon"),
    name=st.none() | st.text("ABC æøå", min_size=1, max_size=20),
    authority=st.none() | numbers,
)
departments = st.builds(Identifier, id=numbers, system=st.just(RESH_ID)) | local
help_numbers = st.builds(Identifier, id=numbers, system=st.just("urn:oid:2.16.578.1.12.4.1.4.3"))
codings = st.builds(
    Coding,
    code=st.text("ABC123", min_size=1, max_size=8),
    system=st.sampled_from([*sorted(HEALTHCARE_SERVICES), CARE_RELATION]),
)
attestations = st.builds(
    Attestation,
    practitioner=st.builds(
        Practitioner,
        legal_entity=units,
        point_of_care=units,
        identifier=st.none() | help_numbers,
        hpr_nr=st.none() | units,
        authorization=st.none() | codings,
        department=st.none() | departments,
    ),
    care_relationship=st.builds(
        CareRelationship,
        purpose_of_use=codings,
        decision_ref=st.builds(Decision, id=numbers, user_selected=st.booleans()),
        healthcare_service=st.none() | codings,
        purpose_of_use_details=st.none() | codings,
    ),
    patients=st.lists(
        st.builds(
            Patient,
            identifier=st.none() | help_numbers,
            point_of_care=st.none() | units,
            department=st.none() | departments,
        ),
        max_size=3,
    ).map(tuple),
    toa=st.integers(0, 2**40),
)


@given(attestation=attestations)
def test_what_is_written_can_be_read_again(attestation: Attestation):
    """Writing and reading an attestation gives the same attestation, with nothing normalised on the way."""
    value = {"type": ATTESTATION_TYPE, **to_claim(attestation)}
    assert parse_attestation(value, carrier_iat=0) == (attestation, (), ())
    assert parse_attestation(json.dumps(value), carrier_iat=0)[0] == attestation


@given(attestation=attestations)
def test_a_token_is_read_as_it_was_written(attestation: Attestation):
    """The claim of a token is read without loss, names and owners included."""
    attestation = Attestation(
        practitioner=Practitioner(
            legal_entity=Identifier("310000019", ORGANISATION_NUMBER, "NORDFJELL", "https://www.brreg.no/"),
            point_of_care=attestation.practitioner.point_of_care,
            identifier=Identifier("14857527039", "urn:oid:2.16.578.1.12.4.1.4.1", "KLAR", "https://x/"),
            department=attestation.practitioner.department,
        ),
        care_relationship=attestation.care_relationship,
        patients=attestation.patients,
        toa=attestation.toa,
    )
    assert from_claim(to_claim(attestation)) == attestation
