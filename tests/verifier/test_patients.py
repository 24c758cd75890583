"""Groups A of the threat table, at the API: how old an attestation may be, and for which patient it serves."""

import json

import pytest

from support.stand_in import ATTESTATION, FNR, NOW, OTHER_PATIENT, PATIENT, World, claim
from tillit.verifier import Refused

TWO = [{"identifier": {"id": number, "system": FNR}} for number in (PATIENT, OTHER_PATIENT)]


def attested(world, **changes):
    return world.token(**{ATTESTATION: claim(**changes)})


@pytest.mark.parametrize("age", [-10, -1, 0, 3599, 3600])
def test_a1_an_attestation_of_at_most_sixty_minutes(world, age):
    """An attestation serves for sixty minutes, the last second included, and may be ten seconds ahead."""
    assert world.verify(attested(world, toa=NOW - age)).attestation.toa == NOW - age


@pytest.mark.parametrize("age", [3601, 3660, 86_400])
def test_a1_an_attestation_that_is_too_old(world, age):
    """One second more is a 401 whose message contains attestation_has_expired; the clock is given no grace."""
    refused = world.refusal(attested(world, toa=NOW - age))

    assert (refused.status, refused.error, refused.rule) == (401, "invalid_token", "ATT-58")
    assert "attestation_has_expired" in json.loads(refused.body)["error_description"]
    assert "attestation_has_expired" in dict(refused.headers)["WWW-Authenticate"]


def test_a1_fractions_of_a_second_count(world):
    """Half a second past the sixtieth minute is past it."""
    token = attested(world, toa=NOW - 3600)
    world.now = NOW + 0.5

    assert world.refusal(token).rule == "ATT-58"


@pytest.mark.parametrize("toa", [NOW + 11, NOW + 61, -1, NOW * 1000, float(NOW), str(NOW), True, None, ...])
def test_a2_a_time_that_is_none(world, toa):
    """A toa in the future, in milliseconds, of another type, or absent makes the token invalid."""
    refused = world.refusal(attested(world, toa=toa))

    assert (refused.status, refused.error) == (401, "invalid_token")


def test_a_token_old_enough_is_judged_before_anything_else(world):
    """An expired attestation is told first, so that the client knows to make a new one whatever else is wrong."""
    token = world.token(**{ATTESTATION: claim(toa=NOW - 3601), "practitioner_established_by": "legal_entity"})

    assert world.refusal(token, patient=OTHER_PATIENT).rule == "ATT-58"


def test_a3_the_patient_of_the_attestation(world):
    """A request about the attested patient is let through."""
    assert world.verify(patient=PATIENT).patients == {PATIENT}


@pytest.mark.parametrize(
    "patient", [OTHER_PATIENT, "", " " + PATIENT, PATIENT + "\n", "0582503101", "unknown"]
)
def test_a3_another_patient(world, patient):
    """A request about anybody else is a 403 without any detail."""
    refused = world.refusal(patient=patient)

    assert (refused.status, refused.error, refused.rule) == (403, "access_denied", "ATT-4")
    assert json.loads(refused.body) == {"error": "access_denied"}
    assert PATIENT not in refused.detail
    assert "error_description" not in dict(refused.headers)["WWW-Authenticate"]


def test_a3_several_patients(world):
    """An attestation may name several patients, and serves each of them."""
    for patient in (PATIENT, OTHER_PATIENT):
        assert world.verify(attested(world, patients=TWO), patient=patient).patients == {
            PATIENT,
            OTHER_PATIENT,
        }


@pytest.mark.parametrize("patients", [[], [{}]])
def test_a3_a_token_that_names_no_patient_opens_none(world, patients):
    """By default a token that names nobody does not speak for the patient of the request."""
    refused = world.refusal(attested(world, patients=patients), patient=PATIENT)

    assert (refused.status, refused.rule) == (403, "ATT-6")
    assert json.loads(refused.body) == {"error": "access_denied"}


def test_a3_an_owner_may_accept_an_unnamed_patient():
    """A source may let the request name the patient, as the sector does today; an empty list still opens nobody."""
    world = World(unbound_patient="accept")

    assert world.verify(attested(world, patients=[{}]), patient=PATIENT).patients == frozenset()
    assert world.refusal(attested(world, patients=[]), patient=PATIENT).rule == "ATT-6"
    assert world.refusal(patient=OTHER_PATIENT).rule == "ATT-4"
    nobody = world.verify(attested(world, patients=[]))
    with pytest.raises(Refused):
        world.verifier.require_patient(nobody, PATIENT)


def test_a3_lists_need_no_patient(world):
    """A request about no one in particular, such as an arrivals list, needs no patient (ATT-6)."""
    assert world.verify(attested(world, patients=[])).patients == frozenset()


def test_a3_a_token_without_attestation_opens_no_patient():
    """Where no attestation is demanded, a request about a patient is refused all the same."""
    world = World(require_attestation=False)

    assert world.refusal(world.token(**{ATTESTATION: ...}), patient=PATIENT).rule == "ATT-6"


def test_a3_the_patient_known_only_later(world):
    """An API that learns the patient from the body or the result asks afterwards, with the same answers."""
    access = world.verify()
    world.verifier.require_patient(access, PATIENT)
    asked = world.refusal(patient=OTHER_PATIENT)
    with pytest.raises(type(asked)) as caught:
        world.verifier.require_patient(access, OTHER_PATIENT)

    assert caught.value.body == asked.body
    assert caught.value.headers == asked.headers
    unbound = world.verify(attested(world, patients=[{}]))
    with pytest.raises(type(asked)):
        world.verifier.require_patient(unbound, PATIENT)
