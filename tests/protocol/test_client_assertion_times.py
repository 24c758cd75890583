"""Client assertions: row C5, how old, how long-lived and how far ahead, to the second."""

import pytest

from support.assertions import ALL_TOLERANCES, assertion, check, refusal
from support.tokens import NOW
from tillit.protocol.client_assertion import AssertionProfile


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"exp": ...}, "exp"),
        ({"iat": NOW - 360, "exp": NOW - 300}, "exp"),
        ({"iat": NOW - 20, "exp": NOW - 6}, "exp"),
        ({"exp": NOW + 61}, "exp"),
        ({"exp": NOW + 10 * 365 * 86400}, "exp"),
        ({"exp": NOW - 1}, "exp"),
        ({"iat": ...}, "iat"),
        ({"iat": NOW + 11, "exp": NOW + 40}, "iat"),
        ({"iat": NOW + 61, "exp": NOW + 90}, "iat"),
        ({"nbf": NOW + 11}, "nbf"),
        ({"nbf": NOW + 61}, "nbf"),
        ({"iat": str(NOW)}, "iat"),
        ({"exp": str(NOW + 30)}, "exp"),
        ({"iat": NOW + 0.5}, "iat"),
        ({"nbf": "x"}, "nbf"),
    ],
)
def test_c5_times_that_are_refused(changes, pointer):
    """Expired, long-lived, future and missing times are refused, and the member is named."""
    assert refusal(assertion(**changes)).pointer == f"payload.{pointer}"


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": NOW + 8, "exp": NOW + 38},
        {"iat": NOW + 10, "exp": NOW + 70},
        {"nbf": NOW + 8},
        {"nbf": NOW + 10},
        {"nbf": ...},
        {"exp": NOW + 60},
        {"iat": NOW - 65, "exp": NOW - 5},
        {"iat": NOW, "exp": NOW},
        {"iat": NOW, "exp": NOW + 5},
    ],
)
def test_c5_times_that_are_accepted(changes):
    """Ten seconds ahead, five after the end and sixty of life are accepted."""
    assert check(assertion(**changes)).jti == "a-jti"


def test_c5_boundaries_of_the_clock():
    """The last instant is exp + 5 s and is what expires_at says; a hair later it is over."""
    taken = check(assertion(), now=NOW + 35.0)
    assert taken.expires_at == NOW + 35
    late = refusal(assertion(), now=NOW + 35.001)
    assert (late.pointer, round(late.clock_difference or 0)) == ("payload.exp", -35)
    assert check(assertion(), now=NOW - 10.0)
    assert refusal(assertion(), now=NOW - 10.001).clock_difference == pytest.approx(10.001)


def test_c5_tolerances_of_time():
    """Digits in a string and two minutes of life are forgiven by name, and no more than that."""
    token = assertion(iat=str(NOW), exp=NOW + 120)
    assert check(token, profile=ALL_TOLERANCES).tolerances_used == ("string_iat", "long_lifetime")
    assert check(token, profile=ALL_TOLERANCES).iat == NOW
    for changes in (
        {"exp": NOW + 121},
        {"iat": "1e9"},
        {"iat": "9" * 5000},
        {"iat": "-1"},
        {"iat": "١٢٣"},
        {"iat": str(NOW).translate({48 + n: 0x660 + n for n in range(10)})},
        {"iat": ""},
    ):
        assert refusal(assertion(**changes), profile=ALL_TOLERANCES).pointer in {"payload.exp", "payload.iat"}
    assert refusal(token, profile=AssertionProfile(string_iat=True)).pointer == "payload.exp"
    assert refusal(token, profile=AssertionProfile(long_lifetime=True)).pointer == "payload.iat"
