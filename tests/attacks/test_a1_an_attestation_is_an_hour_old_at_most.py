"""A1: after sixty minutes an attestation is refused, by the clock of the server and to the second."""

import pytest

from support.backstage import Timeline
from support.ehr import Answer, attestation
from support.tokens_seen import attested

pytestmark = pytest.mark.xdist_group("timeline")


def aged(timeline: Timeline, age: int) -> Answer:
    """The answer to an attestation of that age, in seconds."""
    now = int(timeline.moment())
    return timeline.ehr.token({**attestation(), "toa": now - age})


@pytest.mark.parametrize(("age", "lifetime"), [(0, 600), (3000, 600), (3001, 599), (3590, 10), (3599, 1)])
def test_a1_a_token_never_outlives_its_attestation(age: int, lifetime: int, timeline: Timeline):
    """A token lives as its API says, but not longer than sixty minutes after `toa`."""
    answer = aged(timeline, age)
    assert answer.status == 200, answer.body
    assert answer.json["expires_in"] == lifetime


@pytest.mark.parametrize("age", [3600, 3601, 3610, 7200, 86_400])
def test_a1_from_sixty_minutes_on_it_is_refused_with_the_words_of_the_rule(age: int, timeline: Timeline):
    """At exactly sixty minutes no lifetime is left, beyond it the attestation has expired; no skew is allowed."""
    answer = aged(timeline, age)
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith("ATT-58: attestation_has_expired: toa is ")


def test_a1_the_refusal_tells_operation_age_and_difference_of_the_clocks(timeline: Timeline):
    """Log and audit give the age, and by how much the sender's clock is ahead of ours, so that both are found."""
    now = int(timeline.moment())
    ehr = timeline.ehr
    assertion = ehr.assertion(details={**attestation(), "toa": now - 4000}, iat=now + 8, nbf=now)
    answer = ehr.send(ehr.form(assertion), ehr.proof())
    (entry,) = timeline.backstage.awaited("issuer.token.refused", error_id=answer.json["error_id"])
    assert (entry.public["rule"], entry.public["found"]) == ("ATT-58", "4000 s ago")
    assert entry.public["clock_difference"] == 8
    line = next(line for line in timeline.service.log().splitlines() if answer.json["error_id"] in line)
    assert '"found":"4000 s ago","clock_difference":8' in line


def test_a1_without_a_time_of_its_own_the_assertion_speaks_for_it(timeline: Timeline):
    """The instant at which the client signed stands in for an absent `toa`, and stands in the token."""
    now = int(timeline.moment())
    ehr = timeline.ehr
    form = ehr.form(ehr.assertion(details=attestation(), iat=now - 20, nbf=now - 20))
    assert attested(ehr.send(form, ehr.proof()))["toa"] == now - 20
