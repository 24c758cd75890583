"""J8: a member given twice is refused, in header, payload and attestation, however deep."""

import json
from typing import Any

import pytest

from support.backstage import SwiftEhr
from support.ehr import ATTESTATION
from support.intakes import (
    ASSERTION,
    CARRIER,
    INTAKES,
    PROOF,
    claims,
    duplicated,
    header,
    key_of,
    present,
    refuses_all,
)
from support.tokens import compact


@pytest.mark.parametrize("intake", INTAKES)
def test_j8_duplicates_in_header_and_payload_are_refused(intake: str, attacker: SwiftEhr):
    """The second of two members must never decide what the first one said, or the other way round."""
    key = key_of(intake, attacker)
    names = ("jti", "htm", "htu", "iat") if intake == PROOF else ("sub", "aud", "jti", "exp", "iss")
    tokens = {
        f"header.{name}": compact(
            duplicated(name, value, header(intake, attacker)), claims(intake, attacker), key
        )
        for name, value in {"alg": "none", "typ": "JWT"}.items()
    }
    for name in names:
        payload = claims(intake, attacker)
        for value in ("other", payload[name]):
            tokens[f"payload.{name} {value != 'other'}"] = compact(
                header(intake, attacker), duplicated(name, value, payload), key
            )
    escaped = duplicated("\\u006ati", "other", claims(intake, attacker))
    tokens["escaped"] = compact(header(intake, attacker), escaped.replace(b"\\\\u", b"\\u"), key)
    assert refuses_all(attacker, intake, tokens) == {}


def test_j8_duplicates_inside_an_attestation_are_refused(attacker: SwiftEhr):
    """A second patient, purpose or details member inside the signed claims is refused before it is read."""
    whole = json.dumps(claims(CARRIER, attacker))
    tokens = {
        "details": whole.replace('"assertion_details":', '"assertion_details": {}, "assertion_details":'),
        "patients": whole.replace('"patients":', '"patients": [], "patients":'),
        "deep": whole.replace('"code": "TREAT"', '"code": "BTG", "code": "TREAT"'),
    }
    made = {
        name: compact(header(CARRIER, attacker), text.encode(), attacker.key) for name, text in tokens.items()
    }
    assert refuses_all(attacker, CARRIER, made) == {}


@pytest.mark.parametrize(
    ("old", "new"),
    [('"patients":', '"patients": [], "patients":'), ('"code": "TREAT"', '"code": "BTG", "code": "TREAT"')],
)
def test_j8_duplicates_in_details_sent_as_text_are_refused(old: str, new: str, attacker: SwiftEhr):
    """Details that come as JSON in a string are read as strictly as the token around them."""
    text = json.dumps(ATTESTATION)
    assert details(attacker, text).status == 200
    answer = details(attacker, text.replace(old, new))
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith("ATT-1: assertion_details: duplicate")


def details(ehr: SwiftEhr, text: str) -> Any:
    return present(ehr, CARRIER, ehr.assertion(details=text))


def test_j8_the_same_name_in_different_objects_is_no_duplicate(attacker: SwiftEhr):
    """Only a name twice in one object counts: the many `id` and `system` of a good attestation do not."""
    assert present(attacker, ASSERTION, attacker.assertion(a={"x": 1}, b=[{"x": 1}, {"x": 2}])).status == 200
