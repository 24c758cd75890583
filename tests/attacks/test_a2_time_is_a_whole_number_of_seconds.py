"""A2: `toa` is whole Unix seconds, not to come, and not later than the signature over it."""

import json
from typing import Any

import pytest

from support.backstage import Backstage, Timeline
from support.ehr import Answer, Ehr, attestation
from support.intakes import CARRIER, INVALID_CLIENT, claims, header
from support.tokens import compact
from support.tokens_seen import attested

pytestmark = pytest.mark.xdist_group("timeline")


def with_toa(ehr: Ehr, toa: Any, **changes: Any) -> Answer:
    details = {**attestation(), **({} if toa is ... else {"toa": toa})}
    return ehr.send(ehr.form(ehr.assertion(details=details, **changes)), ehr.proof())


@pytest.mark.parametrize("ahead", [11, 61, 3600])
def test_a2_what_is_to_come_is_refused(ahead: int, timeline: Timeline):
    """A time of attestation more than ten seconds ahead is refused, and says so."""
    answer = with_toa(timeline.ehr, int(timeline.moment()) + ahead)
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description == "ATT-58: toa: in the future"


def test_a2_ten_seconds_ahead_are_accepted_and_give_no_more_lifetime(timeline: Timeline):
    """Clocks may differ by ten seconds; the token still lives as long as its API says."""
    answer = with_toa(timeline.ehr, int(timeline.moment()) + 10)
    assert answer.json["expires_in"] == 600


def test_a2_it_may_not_be_later_than_the_signature(timeline: Timeline):
    """An attestation taken after the assertion was signed is refused, though it is not in the future."""
    now = int(timeline.moment())
    answer = with_toa(timeline.ehr, now, iat=now - 11, nbf=now - 11)
    assert answer.description == "ATT-58: toa: later than the iat of the JWT that carries it"


WRONG = {
    "text": (str, "ATT-SHAPE|ATT-58"),
    "milliseconds": (lambda now: now * 1000, "ATT-58: toa: in milliseconds, seconds needed"),
    "fraction": (lambda now: now - 0.5, "ATT-58: toa: whole seconds"),
    "whole fraction": (float, "ATT-58: toa: whole seconds"),
    "negative": (lambda _: -1, "ATT-58: toa: whole seconds"),
    "boolean": (lambda _: True, "ATT-58: toa: whole seconds"),
    "null": (lambda _: None, "ATT-58: toa: whole seconds"),
    "array": (lambda now: [now], "ATT-58: toa: whole seconds"),
    "object": (lambda _: {}, "ATT-58: toa: whole seconds"),
    "date": (lambda _: "2026-01-15T08:30:00Z", "ATT-58: toa: whole seconds"),
    "zero": (lambda _: 0, "ATT-58: attestation_has_expired"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a2_whatever_is_no_whole_number_of_seconds_is_refused(name: str, timeline: Timeline):
    """Text, milliseconds, fractions, negative numbers and other kinds of value are refused by name."""
    make, expected = WRONG[name]
    answer = with_toa(timeline.ehr, make(int(timeline.moment())))
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith(tuple(expected.split("|")))


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "1e400", "9" * 400])
def test_a2_what_is_no_number_of_json_spoils_the_whole_assertion(literal: str, timeline: Timeline):
    """Inside signed claims it is the token that is refused; in details sent as text, the details."""
    ehr = timeline.ehr
    timeline.moment()
    payload = claims(CARRIER, ehr, assertion_details={**attestation(), "toa": "@"})
    octets = json.dumps(payload).replace('"@"', literal).encode()
    answer = ehr.send(ehr.form(compact(header(CARRIER, ehr), octets, ehr.key)), ehr.proof())
    assert answer.body == INVALID_CLIENT
    text = json.dumps({**attestation(), "toa": "@"}).replace('"@"', literal)
    answer = ehr.send(ehr.form(ehr.assertion(details=text)), ehr.proof())
    assert answer.description.startswith("ATT-1: assertion_details: ")


def test_a2_a_missing_time_is_the_signatures_unless_the_client_must_send_one(timeline: Timeline):
    """Without `toa` the assertion's `iat` stands in; a client that must send it is refused."""
    now = int(timeline.moment())
    assert attested(with_toa(timeline.ehr, ...))["toa"] == now
    strict = timeline.backstage.client(toa_required=True)
    answer = with_toa(strict, ...)
    assert answer.description == "ATT-58: toa: missing"
    assert attested(with_toa(strict, now))["toa"] == now


def test_a2_an_iat_in_a_string_stands_in_as_the_number_it_is(backstage: Backstage):
    """Where a profile tolerates `iat` as text, the token carries a number all the same."""
    ehr = backstage.client(profile="helseid")
    now = int(backstage.service.now())
    assert attested(with_toa(ehr, ..., iat=str(now)))["toa"] == now
