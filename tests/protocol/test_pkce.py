"""PKCE: RFC 7636 with S256 alone, threat row P6."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.json_values import COUNT, values
from tillit.protocol.errors import OAuthError
from tillit.protocol.pkce import challenge_of, check_challenge, check_verifier, make_verifier

# RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_example_of_the_rfc():
    """Verifier and challenge of RFC 7636 appendix B belong together."""
    assert challenge_of(VERIFIER) == CHALLENGE
    check_challenge(CHALLENGE, "S256")
    check_verifier(VERIFIER, CHALLENGE)


def test_what_we_make_is_what_we_take():
    """Every verifier is new, has 43 characters and answers its own challenge."""
    verifiers = {make_verifier() for _ in range(50)}
    assert len(verifiers) == 50
    for verifier in verifiers:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", verifier)
        check_challenge(challenge_of(verifier), "S256")
        check_verifier(verifier, challenge_of(verifier))


@pytest.mark.parametrize(
    ("challenge", "method", "pointer"),
    [
        (None, "S256", "code_challenge"),
        (None, None, "code_challenge"),
        (CHALLENGE, None, "code_challenge_method"),
        (CHALLENGE, "plain", "code_challenge_method"),
        (CHALLENGE, "s256", "code_challenge_method"),
        (CHALLENGE, ["S256"], "code_challenge_method"),
        (CHALLENGE, "", "code_challenge_method"),
        ("", "S256", "code_challenge"),
        (CHALLENGE[:-1], "S256", "code_challenge"),
        (CHALLENGE + "A", "S256", "code_challenge"),
        (CHALLENGE + "=", "S256", "code_challenge"),
        (CHALLENGE + "\n", "S256", "code_challenge"),
        (CHALLENGE[:-1] + "N", "S256", "code_challenge"),
        ("+" + CHALLENGE[1:], "S256", "code_challenge"),
        ("Å" + CHALLENGE[1:], "S256", "code_challenge"),
        ([CHALLENGE], "S256", "code_challenge"),
        (7, "S256", "code_challenge"),
    ],
)
def test_p6_requests_that_are_refused(challenge, method, pointer):
    """No challenge, another method than S256, and what no SHA-256 looks like are invalid_request."""
    with pytest.raises(OAuthError) as caught:
        check_challenge(challenge, method)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    "verifier",
    [
        None,
        "",
        VERIFIER[:-1],
        "a" * 129,
        VERIFIER + "\n",
        VERIFIER + " ",
        VERIFIER[:-1] + "+",
        VERIFIER[:-1] + "å",
        VERIFIER.swapcase(),
        VERIFIER + "A",
        CHALLENGE,
    ],
)
def test_p6_verifiers_that_are_refused(verifier):
    """A missing, malformed or wrong verifier is invalid_grant, as certification runs demand."""
    with pytest.raises(OAuthError) as caught:
        check_verifier(verifier, CHALLENGE)
    assert (caught.value.code, caught.value.status) == ("invalid_grant", 400)


@pytest.mark.parametrize("verifier", ["a" * 43, "-._~" * 32])
def test_verifiers_of_every_length_and_character(verifier):
    """All 43 to 128 unreserved characters may make a verifier."""
    check_verifier(verifier, challenge_of(verifier))


def test_p6_a_verifier_without_challenge():
    """A code asked for without a challenge is redeemed without a verifier, and not with one."""
    check_verifier(None, None)
    with pytest.raises(OAuthError, match="invalid_grant"):
        check_verifier(VERIFIER, None)


@COUNT
@given(st.text(max_size=140), st.text(max_size=60))
def test_only_the_verifier_of_the_challenge_passes(verifier, challenge):
    """Any two texts are refused as invalid_grant, unless the one is the other's digest."""
    with pytest.raises(OAuthError, match="invalid_grant"):
        check_verifier(verifier, challenge)


@COUNT
@given(values, values)
def test_challenges_survive_any_value(challenge, method):
    """Any two JSON values are refused as invalid_request."""
    with pytest.raises(OAuthError, match="invalid_request"):
        check_challenge(challenge, method)
