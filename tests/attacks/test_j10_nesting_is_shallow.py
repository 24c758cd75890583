"""J10: deep nesting is refused at once, wherever it stands."""

import json
import time
from urllib.parse import urlencode

import pytest

from support.backstage import SwiftEhr
from support.ehr import ATTESTATION
from support.intakes import (
    CARRIER,
    INTAKES,
    PROOF,
    claims,
    header,
    key_of,
    present,
    refuses_all,
)
from support.tokens import compact
from support.wire import post

PROMPT = 0.25
"""Seconds for a refusal over HTTP, generous because tests share the machine; a good request takes 0.01."""


def nested(levels: int, kind: str) -> str:
    return "[" * levels + "]" * levels if kind == "array" else '{"a":' * levels + "1" + "}" * levels


@pytest.mark.parametrize("intake", INTAKES)
@pytest.mark.parametrize("kind", ["array", "object"])
def test_j10_deep_nesting_in_header_or_payload_is_refused(intake: str, kind: str, attacker: SwiftEhr):
    """33 levels or 1,100, in the header or the payload: refused like any other bad token."""
    tokens = {}
    for levels in (33, 300, 900, 1_100):
        deep = nested(levels, kind)
        if len(deep) > (4_000 if intake == PROOF else 16_000):
            continue
        for part in ("header", "payload"):
            head, payload = header(intake, attacker), claims(intake, attacker)
            (head if part == "header" else payload)["deep"] = "@"
            texts = [json.dumps(value).replace('"@"', deep).encode() for value in (head, payload)]
            tokens[part, levels] = compact(*texts, key_of(intake, attacker))
    assert refuses_all(attacker, intake, tokens) == {}


@pytest.mark.parametrize("levels", [7, 32, 900, 5_000])
def test_j10_deep_nesting_in_the_details_is_refused(levels: int, attacker: SwiftEhr):
    """Details as text, or an attestation with a nested member, are refused without a fault of ours."""
    text = json.dumps({**ATTESTATION, "patients": "@"}).replace('"@"', nested(levels, "array"))
    answer = present(attacker, CARRIER, attacker.assertion(details=text))
    assert (answer.status, answer.error) == (400, "invalid_authorization_details"), answer.body
    assert answer.description.startswith(("ATT-1:", "ATT-SHAPE:"))


@pytest.mark.parametrize(("levels", "status"), [(5_000, 401), (200_000, 413)])
def test_j10_hopeless_nesting_costs_no_more_than_a_glance(levels: int, status: int, attacker: SwiftEhr):
    """Thousands of levels are refused promptly, by depth or by size."""
    token = compact(header(CARRIER, attacker), nested(levels, "array").encode())
    body = urlencode(attacker.form(token)).encode()
    taken = []
    for _ in range(3):
        started = time.monotonic()
        answer = post(attacker.service, body)
        taken.append(time.monotonic() - started)
        assert answer is not None
        assert answer.status == status
    assert min(taken) < PROMPT
