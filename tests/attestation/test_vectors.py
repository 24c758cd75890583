"""Every vector file, case by case: one rule, one file."""

import json
from pathlib import Path
from typing import Any

import pytest

from tillit.attestation.registers import Registers
from tillit.attestation.rulebook import (
    RULES,
    Check,
    Circumstances,
    Examination,
    Party,
    Register,
    examine,
    judge,
)
from tillit.attestation.wire import from_claim

VECTORS = Path(__file__).parents[1] / "vectors" / "attestation"
SETS = frozenset({"permitted_legal_entities", "details_systems"})


def cases() -> list[Any]:
    """Each case of each file, with the circumstances of the file beneath its own."""
    found = []
    for path in sorted(VECTORS.glob("*.json")):
        document = json.loads(path.read_text())
        for case in document["cases"]:
            known = document["circumstances"] | case.get("circumstances", {})
            name = f"{document['rule']}: {case['name']}"
            found.append(pytest.param(document["rule"], case, known, id=name.replace(" ", "-")))
    return found


def outcome(case: dict[str, Any], known: dict[str, Any], registers: Registers) -> Examination:
    """What the party of the vector finds."""
    known = {name: frozenset(value) if name in SETS else value for name, value in known.items()}
    party = Party(known.pop("party"))
    circumstances = Circumstances(registers=registers, **known)
    if party is not Party.DOCUMENT_SOURCE:
        return examine(
            case["input"], carrier_iat=known["carrier_iat"], party=party, circumstances=circumstances
        )
    attestation = from_claim(case["input"])
    return Examination(attestation, judge(attestation, party, circumstances), (), ())


@pytest.mark.parametrize(("rule", "case", "known"), cases())
def test_each_case_gets_its_answer(
    rule: str, case: dict[str, Any], known: dict[str, Any], registers: Registers
):
    """A vector's attestation is accepted, or refused for exactly one reason, as the vector says."""
    found = outcome(case, known, registers)
    assert (case["expect"] == "refuse") == ("answer" in case)
    answers = [
        {"error": violation.code, "prefix": violation.prefix, "path": violation.path}
        for violation in found.violations
    ]
    assert answers == ([case["answer"]] if "answer" in case else [])
    assert {remark.rule for remark in found.remarks} >= ({case["remark"]} if "remark" in case else set())
    assert (found.attestation is not None) or found.violations
    own = {violation.rule for violation in found.violations} <= {rule}
    assert own or case["answer"]["prefix"] in {"ATT-38", "ATT-43"}


def test_every_rule_with_a_check_has_vectors_for_both_answers():
    """No rule is decided by machine without a file that shows what it accepts and, if it can, refuses."""
    journal_only = {"ATT-19", "ATT-56"}
    for row in RULES:
        if not isinstance(row.basis, Check | Register):
            continue
        document = json.loads((VECTORS / f"{row.id}.json").read_text())
        answers = {case["expect"] for case in document["cases"]}
        assert document["rule"] == row.id
        assert answers == ({"accept"} if row.id in journal_only else {"accept", "refuse"}), row.id
