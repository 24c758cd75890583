"""J12: every part is canonical base64url; what a lenient decoder would forgive is refused."""

import pytest

from support.backstage import SwiftEhr
from support.intakes import ASSERTION, INTAKES, PROOF, good, present, refuses_all

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def variants(token: str, intake: str) -> dict[str, str]:
    """One good token in all the spellings that decode to the same octets somewhere."""
    head, payload, signature = token.split(".")
    last = LETTERS.index(signature[-1])
    spellings = {
        "padded": f"{head}.{payload}.{signature}==",
        "padded header": f"{head}=.{payload}.{signature}",
        "blank": f"{head}.{payload[:9]} {payload[9:]}.{signature}",
        "question mark": f"{head}.{payload}?.{signature}",
        "standard alphabet": f"{head}.{payload[:5]}+{payload[6:]}.{signature}",
        "slash": f"{head}.{payload[:5]}/{payload[6:]}.{signature}",
        "length 1 mod 4": f"{head}.{payload}.{signature}AAA",
        "trailing bits": f"{head}.{payload}.{signature[:-1]}{LETTERS[last | 1]}",
        "quoted": f'"{token}"',
        "percent": f"{head}.{payload}.{signature}%3D",
    }
    if intake != PROOF:  # HTTP takes blanks around a header's value away
        spellings["leading blank"] = f" {token}"
        spellings["trailing blank"] = f"{token} "
    return spellings


@pytest.mark.parametrize("intake", INTAKES)
def test_j12_no_second_spelling_of_a_token(intake: str, attacker: SwiftEhr):
    """Padding, blanks, other alphabets, impossible lengths and stray bits are refused, each on a fresh token."""
    names = variants(good(intake, attacker), intake)
    tokens = {name: variants(good(intake, attacker), intake)[name] for name in names}
    assert refuses_all(attacker, intake, tokens) == {}


@pytest.mark.parametrize("mark", ["\n", "\t", "\r", "\0"])
def test_j12_control_characters_do_not_get_past_the_form(mark: str, attacker: SwiftEhr):
    """A line break or tab inside an assertion is refused with the whole request, before the token is looked at."""
    token = good(ASSERTION, attacker)
    answer = present(attacker, ASSERTION, f"{token[:40]}{mark}{token[40:]}")
    assert (answer.status, answer.error) == (400, "invalid_request")
