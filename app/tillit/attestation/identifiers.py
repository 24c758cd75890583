"""The numbers of persons, organisations and health personnel, and the RESH id: form, check digits, kind.

Organisation numbers are checked by python-stdnum. Its birth-number check cannot be used: it knows neither the
synthetic series nor the rule of 2032, it reads the wall clock, and it takes separators for granted. The tests
hold our sums against its check digits.
"""

import re
from enum import StrEnum
from functools import lru_cache
from operator import mul
from typing import Final, NamedTuple

from stdnum.no import orgnr

from tillit.attestation.systems import D_NUMBER, F_NUMBER, H_NUMBER

LONGEST_ID: Final = 64

RELAXED_FROM: Final = 1_956_528_000
"""2032-01-01T00:00:00Z: from then on the first check digit may miss by up to three."""
RELAXED_REMAINDERS: Final = frozenset({0, 1, 2, 3})

_ELEVEN = re.compile(r"[0-9]{11}")
_NINE = re.compile(r"[0-9]{9}")
_HPR = re.compile(r"[1-9][0-9]{0,8}")
_RESH = re.compile(r"[0-9]{1,10}")
_DECISION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")

_NAV_OR_HELP, _NHN, _TAX = 40, 65, 80
"""Added to the month: by NAV's test persons and by help numbers, by NHN, by the tax administration."""
_OFFSETS: Final = {
    f"{offset + month:02}": offset for offset in (0, _NAV_OR_HELP, _NHN, _TAX) for month in range(1, 13)
}
_DAYS_IN_MONTH: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FEBRUARY: Final = 2

# Every attestation names two persons, so the digits are weighed by C code alone, as bytes of value 0 to 9.
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_FIRST_CHECK: Final = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)
_SECOND_CHECK: Final = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
"""Each check digit has the weight 1: where it fits, the sum is a multiple of eleven."""


class Kind(StrEnum):
    """The kinds of person number, as the framework tells them apart."""

    F_NUMBER = "F-number"
    D_NUMBER = "D-number"
    H_NUMBER = "H-number"


SYSTEM_OF_KIND: Final = {Kind.F_NUMBER: F_NUMBER, Kind.D_NUMBER: D_NUMBER, Kind.H_NUMBER: H_NUMBER}


class PersonNumber(NamedTuple):
    """What a person's number turned out to be: its kind, or the fault that makes it none; not its value."""

    kind: Kind | None
    fault: str | None


def read_person_number(
    number: str, *, now: float, synthetic: bool, help_number: bool = False
) -> PersonNumber:
    """Judge a person's number by form, check digits and date (attestation §2.4).

    `now` (Unix seconds) switches the rule of 2032 on, `synthetic` admits the test series of the tax
    administration, NHN and NAV. A month of 41 to 52 is ambiguous: `help_number`, that is, a system which says
    H-number, makes it a help number, anything else one of NAV's test persons.
    """
    fault = _form_fault(number, now)
    if fault:
        return PersonNumber(None, fault)
    first = number[0]
    if first >= "8":
        return PersonNumber(Kind.H_NUMBER, None)
    offset = _OFFSETS.get(number[2:4])
    if offset is None or not _date_exists(number, offset):
        return PersonNumber(None, "no such date")
    if help_number and offset == _NAV_OR_HELP and first < "4":
        return PersonNumber(Kind.H_NUMBER, None)
    if offset and not synthetic:
        return PersonNumber(None, "synthetic numbers are not accepted here")
    return PersonNumber(Kind.D_NUMBER if first >= "4" else Kind.F_NUMBER, None)


def person_number_kind(number: str, *, now: float, synthetic: bool, help_number: bool = False) -> Kind | None:
    """The kind of a person's number, or `None` if it is none that may be used; see `read_person_number`."""
    return read_person_number(number, now=now, synthetic=synthetic, help_number=help_number).kind


def kind_by_first_digits(number: str) -> Kind | None:
    """F- or D-number by the first digit alone, for numbers that name a date (N-8)."""
    if not _ELEVEN.fullmatch(number) or number[0] >= "8":
        return None
    return Kind.D_NUMBER if number[0] >= "4" else Kind.F_NUMBER


def looks_like_a_person(number: str) -> bool:
    """Whether a text would pass as the number of some person, of any kind and at any time."""
    return person_number_kind(number, now=RELAXED_FROM, synthetic=True) is not None


@lru_cache(maxsize=4096)
def organisation_number_fault(number: str, *, synthetic: bool) -> str | None:
    """What is wrong with an organisation number; `synthetic` admits test numbers, which begin with 1, 2 or 3.

    Cached: the numbers of enterprises are public and few, and every attestation names several.
    """
    if not _NINE.fullmatch(number):
        return "nine digits needed"
    if orgnr.checksum(number):
        return "check digit does not fit"
    if number[0] in "89" or (synthetic and number[0] in "123"):
        return None
    return "no number of the register of enterprises begins so"


def hpr_number_valid(number: str) -> bool:
    """Whether this can be an HPR number: one to nine digits; the register itself is the real check."""
    return _HPR.fullmatch(number) is not None


def resh_id_valid(number: str) -> bool:
    """Whether this can be a RESH id: one to ten digits."""
    return _RESH.fullmatch(number) is not None


def decision_id_valid(text: str) -> bool:
    """Whether this can refer to a decision: 1-64 letters, digits, underscores, hyphens, and no person."""
    return _DECISION.fullmatch(text) is not None and not (text.isdigit() and looks_like_a_person(text))


def is_uuid(text: str) -> bool:
    """Whether this is a UUID of any version in either case (RFC 9562 §4)."""
    return _UUID.fullmatch(text) is not None


def _form_fault(number: str, now: float) -> str | None:
    if not _ELEVEN.fullmatch(number):
        return "eleven digits needed"
    return None if _check_digits_fit(number, relaxed=now >= RELAXED_FROM) else "check digits do not fit"


def _check_digits_fit(number: str, *, relaxed: bool) -> bool:
    digits = number.encode().translate(_VALUES)
    if sum(map(mul, _SECOND_CHECK, digits)) % 11:
        return False
    remainder = sum(map(mul, _FIRST_CHECK, digits)) % 11
    return not remainder or (relaxed and remainder in RELAXED_REMAINDERS)


def _date_exists(number: str, offset: int) -> bool:
    day = int(number[:2]) % 40
    month = int(number[2:4]) - offset
    if day == 29 and month == _FEBRUARY:  # noqa: PLR2004 - the leap day; two digits of a year tell enough
        return int(number[4:6]) % 4 == 0
    return 1 <= day <= _DAYS_IN_MONTH[month - 1]
