"""Persons' numbers of every series, organisation numbers, HPR, RESH and decision references."""

from calendar import monthrange
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.no import fodselsnummer

from tillit.attestation.identifiers import (
    RELAXED_FROM,
    Kind,
    decision_id_valid,
    hpr_number_valid,
    is_uuid,
    organisation_number_fault,
    person_number_kind,
    read_person_number,
    resh_id_valid,
)

NOW = 1768465812
F, D, H = Kind.F_NUMBER, Kind.D_NUMBER, Kind.H_NUMBER


@pytest.mark.parametrize(
    ("number", "kind", "synthetic"),
    [
        ("14857527039", F, True),
        ("29839013092", F, True),
        ("54857527022", D, True),
        ("05825031016", F, True),
        ("23841252160", F, True),
        ("23714815067", F, True),
        ("63714815050", D, True),
        ("23521254076", F, True),
        ("98765432103", H, False),
        ("04056600324", F, False),
        ("20086600138", F, False),
        ("03117000205", F, False),
        ("05086900124", F, False),
        ("13116900216", F, False),
        ("12119000465", F, False),
        ("16858399649", F, True),
        ("05898597468", F, True),
        ("06828399789", F, True),
        ("17855599120", F, True),
        ("29698496140", F, True),
        ("05709992424", F, True),
    ],
)
def test_valid_numbers_of_every_series(number: str, kind: Kind, synthetic: bool):
    """Each published vector has its kind, and test series are admitted only where they may be."""
    assert person_number_kind(number, now=NOW, synthetic=True) is kind
    assert person_number_kind(number, now=NOW, synthetic=False) is (None if synthetic else kind)


@pytest.mark.parametrize(
    "number", ["14857527000", "05076600324", "01873070001", "1485752703", "148575270390", "", "1485752703x"]
)
def test_numbers_that_are_none(number: str):
    """Wrong check digits, the specification's own example patient among them, and wrong forms are no number."""
    assert person_number_kind(number, now=NOW, synthetic=True) is None
    assert person_number_kind(number, now=RELAXED_FROM, synthetic=True) is None


@pytest.mark.parametrize("number", ["01873070087", "01873070095", "01873070184"])
def test_the_rule_of_2032_begins_with_that_year(number: str):
    """A first check digit that misses by one, two or three counts from 1 January 2032, not a second before."""
    assert datetime(2032, 1, 1, tzinfo=UTC).timestamp() == RELAXED_FROM
    assert person_number_kind(number, now=RELAXED_FROM - 1, synthetic=True) is None
    assert person_number_kind(number, now=RELAXED_FROM, synthetic=True) is F


def test_months_above_forty_depend_on_the_system():
    """The same number is a test person of NAV, or a help number when the system says so."""
    assert person_number_kind("23521254076", now=NOW, synthetic=True) is F
    assert person_number_kind("23521254076", now=NOW, synthetic=False) is None
    assert person_number_kind("23521254076", now=NOW, synthetic=False, help_number=True) is H
    assert person_number_kind("14857527039", now=NOW, synthetic=True, help_number=True) is F


def numbered(first_nine: str) -> str | None:
    """A number with its check digits, or `None` where none exists."""
    first = fodselsnummer.calc_check_digit1(first_nine)
    if first == "10":
        return None
    second = fodselsnummer.calc_check_digit2(first_nine + first)
    return None if second == "10" else first_nine + first + second


@given(day=st.integers(0, 99), month=st.integers(0, 99), year=st.integers(0, 99), serial=st.integers(0, 999))
def test_a_number_with_a_date_names_a_day_that_exists(day: int, month: int, year: int, serial: int):
    """After the offsets of its series the date is one of the calendar, leap years by the two digits."""
    number = numbered(f"{day:02}{month:02}{year:02}{serial:03}")
    if number is None:
        return
    kind, fault = read_person_number(number, now=NOW, synthetic=True)
    if number[0] >= "8":
        assert kind is H
        return
    real_month = next((month - offset for offset in (0, 40, 65, 80) if 1 <= month - offset <= 12), None)
    try:
        datetime(2000 if year % 4 == 0 else 2001, real_month or 0, day % 40, tzinfo=UTC)
    except ValueError:
        assert fault == "no such date"
    else:
        assert kind is (D if day >= 40 else F)


@given(text=st.text())
def test_any_text_is_judged_without_an_error(text: str):
    """Whatever is sent as a number gets an answer, and the answer does not repeat it."""
    _, fault = read_person_number(text, now=NOW, synthetic=True)
    assert fault is None or len(text) < 4 or text not in fault


@pytest.mark.parametrize(
    ("number", "test_number"),
    [
        ("310000019", True),
        ("311540025", True),
        ("314200772", True),
        ("215600343", True),
        ("312331055", True),
        ("100100673", True),
        ("993467049", False),
        ("874716782", False),
        ("974589095", False),
    ],
)
def test_organisation_numbers(number: str, test_number: bool):
    """Published numbers pass; those that begin with 1, 2 or 3 only where test numbers may."""
    assert organisation_number_fault(number, synthetic=True) is None
    assert (organisation_number_fault(number, synthetic=False) is None) is not test_number


@pytest.mark.parametrize(
    "number", ["921592761", "123456789", "310000018", "31000001", "3100000199", "310 000 019", "", "١٢٣"]
)
def test_numbers_that_are_no_organisation(number: str):
    """Two numbers printed in the framework, wrong check digits and wrong forms are no organisation number."""
    assert organisation_number_fault(number, synthetic=True)


def test_hpr_numbers_and_resh_ids_have_a_form_only():
    """One to nine digits without a leading zero, and one to ten digits."""
    assert all(hpr_number_valid(number) for number in ("1", "9144900", "222200068"))
    assert not any(hpr_number_valid(number) for number in ("", "0", "0914490", "2222000680", "12a", "1\n"))
    assert all(resh_id_valid(number) for number in ("705592", "4206043", "0"))
    assert not any(resh_id_valid(number) for number in ("", "12345678901", "70 5592", "7\n"))


def test_a_decision_is_referred_to_by_a_plain_word_that_is_nobodys_number():
    """Letters, digits, underscores and hyphens, at most 64, and no number of a person, today's or tomorrow's."""
    assert all(decision_id_valid(text) for text in ("a", "vedtak_2026-0042", "A" * 64, "12345678901"))
    assert not any(decision_id_valid(text) for text in ("", "a b", "a" * 65, "æ", "a\n", "05825031016"))
    assert not decision_id_valid("01873070095")


def test_uuids_of_any_version_and_case():
    """A UUID is recognised by its form alone."""
    assert is_uuid("D23F0824-128B-4F33-8C5C-7FD0A6A3A450")
    assert is_uuid("00000000-0000-0000-0000-000000000000")
    assert not is_uuid("{00000000-0000-0000-0000-000000000000}")
    assert not is_uuid("00000000000000000000000000000000")


@given(number=st.from_regex(r"[0-9]{11}", fullmatch=True), fitting=st.booleans())
def test_our_sums_agree_with_the_check_digits_of_stdnum(number: str, fitting: bool) -> None:
    """A number is refused for its check digits exactly when stdnum computes others (before 2032)."""
    if fitting:
        number = number[:9] + fodselsnummer.calc_check_digit1(number[:9])[-1]
        number += fodselsnummer.calc_check_digit2(number)[-1]
    fits = number[9:] == (
        fodselsnummer.calc_check_digit1(number[:9]) + fodselsnummer.calc_check_digit2(number[:10])
    )
    fault = read_person_number(number, now=NOW, synthetic=True).fault
    assert (fault != "check digits do not fit") is fits


@pytest.mark.parametrize("year", ["00", "01", "04", "99"])
@pytest.mark.parametrize("month", range(1, 13))
def test_a_date_exists_as_the_calendar_says(month: int, year: str) -> None:
    """The last day of every month makes a number and the day after it none, leap years included."""
    last = monthrange(2000 + int(year), month)[1]
    for day in range(1, 40):
        begin = f"{day:02}{month:02}{year}"
        for serial in range(100, 200):
            nine = f"{begin}{serial}"
            first = fodselsnummer.calc_check_digit1(nine)
            second = fodselsnummer.calc_check_digit2(nine + first) if len(first) == 1 else "10"
            if len(second) == 1:
                break
        kind = person_number_kind(nine + first + second, now=NOW, synthetic=True)
        assert kind is (F if day <= last else None)
