"""The life of one key."""

from dataclasses import replace

import pytest

from tillit_server.signing.key_life import Entry, Policy, State


def entry(**instants: int) -> Entry:
    return Entry("k", "ES256", {}, "sealed:", **{"announced_at": 100, "active_from": 200, **instants})


@pytest.mark.parametrize(
    ("now", "state"),
    [
        (100, State.ANNOUNCED),
        (199.999, State.ANNOUNCED),
        (200, State.ACTIVE),
        (299.999, State.ACTIVE),
        (300, State.RETIRING),
        (399.999, State.RETIRING),
        (400, State.GONE),
        (10**12, State.GONE),
    ],
)
def test_state_flips_exactly_at_its_instants(now: float, state: State) -> None:
    """The state is a function of now, and each instant belongs to the state it begins."""
    assert entry(retire_from=300, gone_at=400).state(now) is state


def test_the_last_key_of_a_chain_signs_without_end() -> None:
    """A key without a successor goes on signing, however late it is."""
    assert entry().state(10**12) is State.ACTIVE


def test_a_founding_key_signs_even_when_the_clock_was_set_back() -> None:
    """A clock set back to before the very first start leaves the service with a key."""
    assert entry(announced_at=200).state(0) is State.ACTIVE


@pytest.mark.parametrize(("now", "state"), [(249, State.ACTIVE), (250, State.GONE), (350, State.GONE)])
def test_a_revoked_key_is_gone_at_once(now: float, state: State) -> None:
    """Revocation ends signing and publication at the same instant."""
    assert entry(retire_from=300, gone_at=400, revoked_at=250).state(now) is state


def test_a_key_revoked_in_an_emergency_is_gone_whatever_the_clock() -> None:
    """Its private half destroyed, it is gone on a host whose clock has not reached the revocation too."""
    ended = replace(entry(revoked_at=250), private=None)
    assert ended.state(210) is State.GONE
    first, end = ended.signs_between
    assert not first <= 210 < end


@pytest.mark.parametrize(
    "instants", [{}, {"retire_from": 300, "gone_at": 400}, {"revoked_at": 250}, {"announced_at": 200}]
)
def test_signs_between_says_the_same_as_the_state(instants: dict[str, int]) -> None:
    """The interval the signer caches never disagrees with the state."""
    key = entry(**instants)
    first, end = key.signs_between
    for now in range(0, 500, 5):
        assert (first <= now < end) == (key.state(now) is State.ACTIVE)


@pytest.mark.parametrize(
    "members",
    [
        {"announce": -1},
        {"skew": -1},
        {"announce": 599},
        {"rotate_after": 86_399},
        {"rotate_after": 0, "announce": 0, "jwks_max_age": 0},
    ],
)
def test_a_policy_that_would_lose_tokens_is_refused(members: dict[str, int]) -> None:
    """Announcing for a shorter time than key sets are cached is a mistake in the settings."""
    with pytest.raises(ValueError, match="key policy"):
        Policy(**members)
