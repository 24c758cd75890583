"""Rules on the time of attestation, `toa` (ATT-58)."""

from typing import Final

from tillit.attestation.case import NOTHING, Case, Findings
from tillit.attestation.findings import EXPIRED, INVALID, Violation
from tillit.attestation.model import LIFETIME

AHEAD: Final = 10
"""Seconds a `toa` may lie in the future, and later than the `iat` of the JWT that carried it."""
MILLISECONDS: Final = 10**11
"""A larger `toa` counts milliseconds (as seconds it would lie after the year 5138)."""
A_DAY: Final = 86_400
SHORTEST_TOKEN: Final = 1
"""Seconds an attestation must have left for a token to be worth issuing."""


def seconds_since_1970(case: Case) -> Findings:
    """ATT-58a: `toa` is a whole number of Unix seconds, neither to come nor later than its carrier."""
    toa = case.attestation.toa
    circumstances = case.circumstances
    carrier = circumstances.carrier_iat
    difference: float | None = None
    if case.attestation.toa_from_carrier and circumstances.toa_required:
        text = "missing"
    elif toa < 0:
        text = "whole seconds since 1970-01-01T00:00:00Z needed"
    elif toa > MILLISECONDS:
        text = "in milliseconds, seconds needed"
    elif toa > circumstances.now + AHEAD:
        text, difference = "in the future", toa - circumstances.now
    elif carrier is not None and toa > carrier + AHEAD:
        text = "later than the iat of the JWT that carries it"
    else:
        return NOTHING
    code = "invalid_token" if case.at_source else INVALID
    return (Violation("ATT-58a", "toa", text, code, "integer, seconds", clock_difference=difference),)


def fresh(case: Case) -> Findings:
    """ATT-58c: an attestation is refused when it is more than 60 minutes old, or has less than 1 s to live.

    The framework makes no allowance for clocks that differ. A document source accepts the sixtieth minute's
    last instant; a trust anchor does not, since the token it would issue could never be used.
    """
    toa = case.attestation.toa
    circumstances = case.circumstances
    if toa < 0:
        return NOTHING
    left = toa + LIFETIME - circumstances.now
    if left >= (0 if case.at_source else SHORTEST_TOKEN):
        return NOTHING
    code = INVALID
    if case.at_source:
        code = "invalid_token"
    elif circumstances.stored_with_grant:
        code = "invalid_grant"
    text = "toa is more than 60 minutes ago" if left < 0 else "toa is 60 minutes ago, no time is left"
    carrier = circumstances.carrier_iat
    difference = None if carrier is None else carrier - circumstances.now
    return (
        Violation(
            "ATT-58c",
            "toa",
            f"{EXPIRED}: {text}",
            code,
            expected=f"at most {LIFETIME} s ago",
            # What was sent as `toa` may be a number of another kind: only an age is told, never the value.
            found=f"{LIFETIME - left:.0f} s ago" if LIFETIME - left < A_DAY else "more than a day ago",
            clock_difference=difference,
        ),
    )
