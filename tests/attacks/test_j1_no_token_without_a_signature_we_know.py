"""J1: an algorithm that is missing, unknown or `none` is refused, signed or not."""

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, claims, header, key_of, refuses_all
from support.tokens import compact

ALGORITHMS = ("none", "None", "nOnE", "", None, 1, ..., "es256")


@pytest.mark.parametrize("intake", INTAKES)
def test_j1_an_unknown_algorithm_is_refused_whatever_stands_as_signature(intake: str, attacker: SwiftEhr):
    """No token passes with a missing, unknown or `none` algorithm, be it signed, unsigned or empty-signed."""
    tokens = {}
    for alg in ALGORITHMS:
        head, payload = header(intake, attacker, alg=alg), claims(intake, attacker)
        signed = compact(head, payload, key_of(intake, attacker))
        tokens |= {
            (alg, "signed"): signed,
            (alg, "nonsense"): compact(head, payload),
            (alg, "empty"): signed.rpartition(".")[0] + ".",
        }
    assert refuses_all(attacker, intake, tokens) == {}


@pytest.mark.parametrize("intake", INTAKES)
def test_j1_the_signature_of_a_good_header_is_really_checked(intake: str, attacker: SwiftEhr):
    """An honest header over a missing, foreign or altered signature does not help."""
    head, payload = header(intake, attacker), claims(intake, attacker)
    signed = compact(head, payload, key_of(intake, attacker))
    other = compact(header(intake, attacker), claims(intake, attacker), key_of(intake, attacker))
    tokens = {
        "none": signed.rpartition(".")[0] + ".",
        "nonsense": compact(head, payload),
        "of another token": f"{signed.rpartition('.')[0]}.{other.rpartition('.')[2]}",
    }
    assert refuses_all(attacker, intake, tokens) == {}
