"""The values an attestation is made of."""

import pytest

from tillit.attestation.model import (
    LIFETIME,
    NO_CODE,
    NO_DECISION,
    NOT_GIVEN,
    Attestation,
    CareRelationship,
    Identifier,
    Practitioner,
)


def test_att_58b_no_use_after_sixty_minutes():
    """An attestation says until when it may be used: sixty minutes after it was made."""
    attestation = Attestation(Practitioner(), CareRelationship(), (), toa=1768465800)
    assert LIFETIME == 60 * 60
    assert attestation.expires_at == 1768465800 + 3600


def test_nothing_personal_shows_in_a_representation():
    """A value that ends up in a log by mistake shows neither number nor name."""
    person = Identifier("14857527039", "urn:oid:2.16.578.1.12.4.1.4.1", "KLAR SKOGSTJERNE")
    attestation = Attestation(Practitioner(identifier=person), CareRelationship(), (), toa=1)
    assert "14857527039" not in repr(attestation)
    assert "SKOGSTJERNE" not in repr(attestation)


def test_what_was_not_given_is_empty():
    """The values that stand for absent members are told from real ones by being empty."""
    assert [NOT_GIVEN.id, NO_CODE.code, NO_DECISION.id] == ["", "", ""]
    assert NO_DECISION.user_selected is None


def test_attestations_cannot_be_changed():
    """What was judged is what is issued."""
    attestation = Attestation(Practitioner(), CareRelationship(), (), toa=1)
    with pytest.raises(AttributeError):
        attestation.toa = 2


def test_where_toa_came_from_does_not_make_two_attestations_differ():
    """An attestation stamped by its carrier equals one that says the same time itself."""
    sent = Attestation(Practitioner(), CareRelationship(), (), toa=1)
    stamped = Attestation(Practitioner(), CareRelationship(), (), toa=1, toa_from_carrier=True)
    assert sent == stamped
