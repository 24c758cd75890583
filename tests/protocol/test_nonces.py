"""Nonces: derived from secret and clock, so that every process agrees and nothing is stored (row D8)."""

import pytest

from tillit.protocol.nonces import Nonces

OLD, NEW, FOREIGN = b"o" * 32, b"n" * 32, b"f" * 32
NOW = 1_795_400_040.0  # the start of a slot


def nonces(*secrets: bytes) -> Nonces:
    return Nonces(lambda: secrets)


def test_d8_every_process_agrees():
    """A nonce of one process is good at another with the same secrets, also after a restart."""
    nonce = nonces(NEW).issue(NOW)
    assert nonces(NEW).valid(nonce, NOW + 1)
    assert nonces(NEW, OLD).valid(nonce, NOW + 1)
    assert nonces(OLD, NEW).valid(nonce, NOW + 1)


def test_d8_a_nonce_lives_between_one_and_two_slots():
    """The current and the previous slot are accepted, older ones are not."""
    nonce = nonces(NEW).issue(NOW)
    for age, good in ((0, True), (119, True), (120, True), (239.9, True), (240, False), (3600, False)):
        assert nonces(NEW).valid(nonce, NOW + age) is good


def test_d8_a_clock_a_little_behind():
    """A nonce made up to ten seconds ahead of our clock is accepted, a later one is not."""
    nonce = nonces(NEW).issue(NOW)
    assert nonces(NEW).valid(nonce, NOW - 10)
    assert not nonces(NEW).valid(nonce, NOW - 11)


def test_d8_rotation_of_the_secret():
    """After a rotation the old secret's nonces pass while the secret is kept, and never once it is gone."""
    nonce = nonces(OLD).issue(NOW)
    assert nonces(NEW, OLD).valid(nonce, NOW)
    assert not nonces(NEW).valid(nonce, NOW)
    assert nonces(NEW, OLD).issue(NOW) == nonces(NEW).issue(NOW) != nonce


@pytest.mark.parametrize("nonce", ["", "x", "A" * 24, "ø", "\ud800", "\x00" * 24])
def test_d8_forged_nonces(nonce):
    """Whatever did not come from our secret is refused, and never a fault."""
    assert not nonces(NEW).valid(nonce, NOW)
    assert not nonces(NEW).valid(nonces(FOREIGN).issue(NOW), NOW)


def test_d8_a_changed_secret_is_seen_at_once():
    """Secrets are asked for each time; what was derived from gone ones is forgotten."""
    current = [OLD]
    watched = Nonces(lambda: current)
    nonce = watched.issue(NOW)
    assert watched.valid(nonce, NOW)
    current[:] = [NEW]
    assert not watched.valid(nonce, NOW)


def test_d8_the_characters_of_a_nonce():
    """A nonce is made of characters RFC 9449 section 8.1 allows, and another one in every slot."""
    made = {nonces(NEW).issue(NOW + 120 * slot) for slot in range(50)}
    assert len(made) == 50
    assert all(char.isascii() and (char.isalnum() or char in "-_") for nonce in made for char in nonce)
