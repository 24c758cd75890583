"""A1 at a login: an attestation given with it serves every token for its hour, and none after that (ATT-58)."""

import pytest

from support.backstage import SwiftEhr, Timeline
from support.ehr import ATTESTATION, attestation
from support.redeeming import IDENTITY, claims_of, client, exchange, good, lay, redeem, refresh, refused
from support.service import PHR

CLAIM = "nhn:tillitsrammeverk:parameters"
SCOPES = (*IDENTITY, PHR, CLAIM)


@pytest.fixture(scope="module")
def ehr(timeline: Timeline) -> SwiftEhr:
    """A client of the service whose clock stands still."""
    return client(timeline.backstage)


def attested(timeline: Timeline, ehr: SwiftEhr, **changes: object) -> tuple[float, str]:
    """The instant of a login that was asked for with an attestation, and its refresh token."""
    instant = timeline.moment()
    laid = lay(timeline.backstage, ehr, scopes=SCOPES, details=[attestation(**changes)])
    return instant, good(redeem(ehr, laid))["refresh_token"]


@pytest.mark.parametrize(("age", "status"), [(0, 200), (3598, 200), (3599, 200), (3600, 400), (3601, 400)])
def test_a1_every_refresh_within_the_hour_and_none_after(
    age: int, status: int, timeline: Timeline, ehr: SwiftEhr
):
    """``toa`` is the instant of the request object; an hour later only a new login helps: ``invalid_grant``."""
    instant, token = attested(timeline, ehr)
    timeline.at(instant + age)
    answer = refresh(ehr, token)
    assert answer.status == status, answer.body
    if status == 200:
        claims = claims_of(answer.json["access_token"])
        assert claims[CLAIM]["toa"] == int(instant)
        assert claims["exp"] <= instant + 3600
        assert answer.json["expires_in"] == min(600, 3600 - age)
    else:
        assert refused(answer).startswith("ATT-58: attestation_has_expired")


@pytest.mark.parametrize(("age", "status"), [(3599, 200), (3600, 400)])
def test_a1_not_even_the_first_token(age: int, status: int, timeline: Timeline, ehr: SwiftEhr):
    """An attestation that was made long before the login is as old at the code as it is."""
    instant = timeline.moment()
    details = [attestation(toa=int(instant) - age)]
    laid = lay(timeline.backstage, ehr, scopes=SCOPES, details=details, carrier_iat=int(instant))
    answer = redeem(ehr, laid)
    assert answer.status == status, answer.body
    if status != 200:
        assert refused(answer).startswith("ATT-58: attestation_has_expired")


def test_a1_what_a_token_request_brings_is_for_that_token_alone(timeline: Timeline, ehr: SwiftEhr):
    """An attestation in a client assertion is in the token of that answer and in no other."""
    timeline.moment()
    scopes = (*IDENTITY, "example:ward/list", CLAIM)
    token = good(redeem(ehr, lay(timeline.backstage, ehr, scopes=scopes)))["refresh_token"]
    assert CLAIM in claims_of(good(refresh(ehr, token, details=ATTESTATION))["access_token"])
    assert CLAIM not in claims_of(good(refresh(ehr, token))["access_token"])


def test_a1_both_ways_at_once_are_refused(timeline: Timeline, ehr: SwiftEhr):
    """A login that came with an attestation takes no second one, at the code or at a refresh."""
    _, token = attested(timeline, ehr)
    assert refused(refresh(ehr, token, details=ATTESTATION), "access_denied").startswith(
        "HID-DOUBLE-STRUCTURE"
    )
    laid = lay(timeline.backstage, ehr, scopes=SCOPES, details=[attestation()])
    assert refused(redeem(ehr, laid, details=ATTESTATION), "access_denied").startswith("HID-DOUBLE-STRUCTURE")
    good(redeem(ehr, laid))
    good(refresh(ehr, token))


def test_a1_an_exchange_stretches_nothing(timeline: Timeline, ehr: SwiftEhr):
    """The token that an API gets for another ends with the attestation, though an hour is usual there."""
    instant, token = attested(timeline, ehr)
    timeline.at(instant + 3300)
    subject = good(refresh(ehr, token))["access_token"]
    actor = timeline.backstage.client(
        grants=["urn:ietf:params:oauth:grant-type:token-exchange"], audiences=["nhn:phr"]
    )
    claims = claims_of(good(exchange(actor, subject))["access_token"])
    assert claims["exp"] <= claims[CLAIM]["toa"] + 3600
