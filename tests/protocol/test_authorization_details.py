"""Rich authorization requests: the envelope is strict, lenient only where published clients need it."""

import json

import pytest

from tillit.protocol.authorization_details import (
    ATTESTATION_TYPE,
    JOURNAL_TYPE,
    ORGANISATION_TYPE,
    of_type,
    read_details,
)
from tillit.protocol.errors import OAuthError

ATTESTATION = {"type": ATTESTATION_TYPE, "toa": 1}
ORGANISATION = {"type": ORGANISATION_TYPE}


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (ATTESTATION, 1),
        ([ATTESTATION], 1),
        ([ATTESTATION, ORGANISATION, {"type": JOURNAL_TYPE}], 3),
        (json.dumps(ATTESTATION), 1),
        (json.dumps([ATTESTATION, ORGANISATION]), 2),
        (f"  {json.dumps([ATTESTATION])}\n", 1),
    ],
)
def test_forms_that_are_read(value, count):
    """An object, an array of objects, or either as JSON in a string."""
    details = read_details(value)
    assert len(details) == count
    assert of_type(details, ATTESTATION_TYPE) == ATTESTATION


@pytest.mark.parametrize(
    ("value", "rule", "path"),
    [
        ("", "ATT-1", "c"),
        ("{", "ATT-1", "c"),
        ('{"type":"x","type":"x"}', "ATT-1", "c"),
        ('[{"type":"x","a":NaN}]', "ATT-1", "c"),
        ("[" * 40 + "]" * 40, "ATT-1", "c"),
        ('{"type":"x"} trailing', "ATT-1", "c"),
        ('"' + "x" * 25_000 + '"', "ATT-1", "c"),
        ("\ud800", "ATT-1", "c"),
        (json.dumps(json.dumps(ATTESTATION)), "ATT-SHAPE", "c"),
        (None, "ATT-SHAPE", "c"),
        (7, "ATT-SHAPE", "c"),
        (True, "ATT-SHAPE", "c"),
        ([], "ATT-SHAPE", "c"),
        ([{"type": f"{n}"} for n in range(17)], "ATT-SHAPE", "c"),
        (["x"], "ATT-SHAPE", "c[0]"),
        ([ATTESTATION, None], "ATT-SHAPE", "c[1]"),
        ([[ATTESTATION]], "ATT-SHAPE", "c[0]"),
        ([ATTESTATION, ORGANISATION, ATTESTATION], "ATT-SHAPE", "c[2].type"),
        ({}, "ATT-TYPE", "c.type"),
        ([{}], "ATT-TYPE", "c[0].type"),
        ([ATTESTATION, {"type": None}], "ATT-TYPE", "c[1].type"),
        ({"type": 7}, "ATT-TYPE", "c.type"),
        ({"type": ["x"]}, "ATT-TYPE", "c.type"),
        ({"type": "nhn:trust_framework:parameters"}, "ATT-TYPE", "c.type"),
        ({"type": ATTESTATION_TYPE.upper()}, "ATT-TYPE", "c.type"),
    ],
)
def test_forms_that_are_refused(value, rule, path):
    """What cannot be read is refused with its rule and the member at fault, in the catalogue's form."""
    with pytest.raises(OAuthError) as caught:
        read_details(value, carrier="c")
    refusal = caught.value
    assert (refusal.code, refusal.status) == ("invalid_authorization_details", 400)
    assert (refusal.rule, refusal.pointer) == (rule, path)
    assert refusal.description.startswith(f"{rule}: {path}: ")


def test_the_carrier_is_named():
    """The message names the member the client sent."""
    with pytest.raises(OAuthError, match=r"assertion_details\[1\]\.type") as caught:
        read_details([ATTESTATION, {"type": "x"}], carrier="assertion_details")
    assert caught.value.body()["error_description"] == "ATT-TYPE: assertion_details[1].type: unknown type"


def test_types_may_be_anybodys():
    """A caller may admit other types, or all of them."""
    assert read_details({"type": "x"}, known={"x"})
    assert read_details({"type": "x"}, known=None)


def test_of_type():
    """None where there is none, a refusal where there are two."""
    assert of_type((), ATTESTATION_TYPE) is None
    assert of_type((ORGANISATION,), ATTESTATION_TYPE) is None
    with pytest.raises(OAuthError, match="twice"):
        of_type((ATTESTATION, ATTESTATION), ATTESTATION_TYPE)
