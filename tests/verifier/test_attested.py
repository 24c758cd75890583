"""What a document source makes of the attestation in a token."""

import json

import pytest

from support.stand_in import (
    ATTESTATION,
    ESTABLISHED_BY,
    LEVEL,
    PID,
    PRACTITIONER,
    World,
    claim,
)
from tillit.protocol.challenge import parse_challenge


def challenge(refused):
    (found,) = parse_challenge(dict(refused.headers)["WWW-Authenticate"])
    return found


def body(refused):
    return json.loads(refused.body)


def test_no_attestation_is_told_as_such(world):
    """A token without attestation is a 403 insufficient_authorization_details where one is demanded."""
    refused = world.refusal(world.token(**{ATTESTATION: ...}))

    assert (refused.status, refused.error) == (403, "insufficient_authorization_details")
    assert refused.rule == "ATT-REQUIRED"


def test_an_api_may_do_without_an_attestation():
    """With require_attestation=False a token without attestation passes, and Access names nobody."""
    world = World(require_attestation=False)
    access = world.verify(world.token(**{ATTESTATION: ..., ESTABLISHED_BY: ...}))

    assert (access.person, access.organisation, access.attestation, access.purpose) == (
        None,
        None,
        None,
        None,
    )
    assert access.patients == frozenset()


@pytest.mark.parametrize(
    "value", [7, [], {}, claim(practitioner__identifier=...), claim(toa="1768465800"), None]
)
def test_an_attestation_that_cannot_be_read_is_refused(value):
    """A malformed attestation is refused also where none is demanded: a token that garbles it is not trusted."""
    for world in (World(), World(require_attestation=False)):
        refused = world.refusal(world.token(**{ATTESTATION: value}))
        assert (refused.status, refused.error) == (401, "invalid_token")


def test_att_11_another_person_than_the_one_who_logged_in(world):
    """The attested practitioner must be the person of the login; the numbers are told to nobody."""
    refused = world.refusal(world.token(**{PID: "29839013092"}))

    assert (refused.status, refused.error, refused.rule) == (401, "invalid_token", "ATT-11")
    for text in (refused.body.decode(), refused.detail, str(refused), repr(refused.headers)):
        assert PRACTITIONER not in text
        assert "29839013092" not in text


@pytest.mark.parametrize("value", [..., 14857527039, None])
def test_att_11_a_login_that_names_nobody(world, value):
    """A token that says login must name the person; a number that is no string names nobody."""
    refused = world.refusal(world.token(**{PID: value}))

    assert (refused.status, refused.error, refused.rule) == (401, "invalid_token", "ATT-11")


@pytest.mark.parametrize("level", ["3", 4, "40", ..., None])
def test_att_9_a_login_below_level_high(world, level):
    """A login that is not at level 4 is answered as RFC 9470 says, so that the client can ask for a better one."""
    refused = world.refusal(world.token(**{LEVEL: level}))

    assert (refused.status, refused.error) == (401, "insufficient_user_authentication")
    assert (refused.rule, challenge(refused).attributes["acr_values"]) == ("ATT-9", "Level4")


def test_a_practitioner_without_login_needs_an_owner_who_accepts_that(world):
    """The weaker form is refused by default and accepted by a source that says so."""
    weaker = {ESTABLISHED_BY: "legal_entity", PID: ..., LEVEL: ...}
    refused = world.refusal(world.token(**weaker))
    assert (refused.status, refused.error) == (403, "access_denied")
    assert "practitioner_established_by" in body(refused)["error_description"]

    lenient = World(accept_established_by={"login", "legal_entity"})
    assert lenient.verify(lenient.token(**weaker)).person.established_by == "legal_entity"
    assert lenient.verify().person.established_by == "login"

    only = World(accept_established_by={"legal_entity"})
    assert only.refusal().error == "access_denied"


@pytest.mark.parametrize("value", ["LOGIN", "", 1, ["login"], "anything"])
def test_an_unknown_way_of_establishing_is_refused(value):
    """A value of practitioner_established_by that we do not know is no login."""
    world = World(accept_established_by={"login", "legal_entity"})

    assert world.refusal(world.token(**{ESTABLISHED_BY: value})).status == 403


def test_an_issuer_that_does_not_say_how_still_needs_a_login(world):
    """HelseID's tokens have no such claim: a person in the token is a login, nobody in it is not."""
    assert world.verify(world.token(**{ESTABLISHED_BY: ...})).person.established_by == "login"
    assert world.refusal(world.token(**{ESTABLISHED_BY: ..., PID: ...})).status == 403


def test_a_token_that_says_both_is_refused():
    """A token without login that names a logged-in person contradicts itself."""
    world = World(accept_established_by={"login", "legal_entity"})

    assert world.refusal(world.token(**{ESTABLISHED_BY: "legal_entity"})).error == "invalid_token"


def test_a_purpose_the_source_does_not_accept():
    """A source may accept some purposes only."""
    world = World(accepted_purposes={"TREAT", "ETREAT"})
    override = claim(
        care_relationship__purpose_of_use={"code": "BTG", "system": "urn:oid:2.16.840.1.113883.1.11.20448"}
    )
    refused = world.refusal(world.token(**{ATTESTATION: override}))

    assert (refused.status, refused.error) == (403, "access_denied")
    assert world.verify().purpose == "TREAT"


def test_att_10_a_practitioner_number_with_wrong_check_digits(world):
    """Every receiver refuses a practitioner whose number cannot exist (ATT-10)."""
    broken = claim(practitioner__identifier={"id": "14857527038", "system": "urn:oid:2.16.578.1.12.4.1.4.1"})
    refused = world.refusal(world.token(**{ATTESTATION: broken, PID: "14857527038"}))

    assert (refused.status, refused.rule) == (401, "ATT-10")
    assert "14857527038" not in refused.detail


def test_a_source_in_production_may_refuse_test_persons():
    """With synthetic_identifiers=False a test person is refused even if the issuer let it through."""
    refused = World(synthetic_identifiers=False).refusal()

    assert refused.rule == "ATT-10"
