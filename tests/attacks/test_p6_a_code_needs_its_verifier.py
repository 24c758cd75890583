"""P6: who has a code but not the secret of the request it was asked for with, has nothing (RFC 7636)."""

from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.redeeming import client, good, lay, redeem, refused
from tillit.protocol.pkce import challenge_of, make_verifier


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return client(backstage)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: ..., id="missing"),
        pytest.param(lambda _: make_verifier(), id="of-another-request"),
        pytest.param(lambda verifier: verifier[:-1], id="42-characters"),
        pytest.param(lambda verifier: verifier + "a" * 86, id="129-characters"),
        pytest.param(challenge_of, id="the-challenge-itself"),
        pytest.param(str.swapcase, id="in-other-case"),
        pytest.param(lambda verifier: verifier[:-1] + "+", id="a-character-it-cannot-have"),
    ],
)
def test_p6_a_wrong_verifier_is_no_grant_and_costs_nothing(change: Any, backstage: Backstage, ehr: SwiftEhr):
    """Each wrong verifier is ``invalid_grant`` exactly, and the code is still good for its owner."""
    laid = lay(backstage, ehr)
    refused(redeem(ehr, laid, code_verifier=change(laid.verifier)))
    good(redeem(ehr, laid))


def test_p6_a_verifier_of_one_login_does_not_open_another(backstage: Backstage, ehr: SwiftEhr):
    """Verifiers of two logins of one client, swapped, are refused both ways."""
    first, second = lay(backstage, ehr), lay(backstage, ehr)
    refused(redeem(ehr, first, code_verifier=second.verifier))
    refused(redeem(ehr, second, code_verifier=first.verifier))


def test_p6_a_verifier_without_a_challenge_is_refused(backstage: Backstage):
    """Where the challenge was taken out of the request, the client's verifier gives it away."""
    old = client(backstage, profile="legacy")
    laid = lay(backstage, old, pkce=False)
    refused(redeem(old, laid))
    good(redeem(old, laid, code_verifier=...))
