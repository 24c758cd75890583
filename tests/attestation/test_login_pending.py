"""An attestation that is pushed before the login: judged as far as it can be, and again when somebody has come."""

from collections.abc import Callable
from typing import Any

import pytest

from tillit.attestation.circumstances import Circumstances, Party
from tillit.attestation.rulebook import examine

SIGNED = 1768465800
BEFORE: dict[str, Any] = {"login_pending": True, "authenticated_person": None, "security_level": None}


def rules(sent: dict[str, Any], circumstances: Circumstances) -> list[str]:
    """The rules that speak against it."""
    found = examine(sent, carrier_iat=SIGNED, party=Party.TRUST_ANCHOR, circumstances=circumstances)
    return [violation.rule for violation in found.violations]


@pytest.mark.parametrize("named", [True, False], ids=["named", "left-out"])
def test_what_only_a_login_shows_waits_for_it(
    named: bool, sent: dict[str, Any], after_login: Callable[..., Circumstances]
):
    """Level and person are not asked for yet (ATT-9, ATT-11), whether the practitioner is named or not."""
    if not named:
        del sent["practitioner"]["identifier"]
    assert rules(sent, after_login(**BEFORE)) == []
    assert rules(sent, after_login(**BEFORE | {"login_pending": False})) == ["ATT-9", "ATT-11"]


def test_everything_else_is_judged_at_once(sent: dict[str, Any], after_login: Callable[..., Circumstances]):
    """A wrong number, an enterprise that is none of the client's, and age are found before anybody logs in."""
    sent["practitioner"]["identifier"]["id"] = "14857527038"
    pending = BEFORE | {"permitted_legal_entities": frozenset({"314200772"}), "now": SIGNED + 3601.0}
    assert rules(sent, after_login(**pending)) == ["ATT-10", "ATT-13", "ATT-58c"]


def test_who_vouches_without_a_login_has_none_to_wait_for(
    sent: dict[str, Any], without_login: Callable[..., Circumstances]
):
    """The member loosens nothing for an enterprise that must say itself who its practitioner is (ATT-10)."""
    del sent["practitioner"]["identifier"]
    assert rules(sent, without_login()) == ["ATT-10"]
