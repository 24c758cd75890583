"""C7: the type of an assertion is its own, absent, or the general one; every other kind of token is refused."""

import pytest

from support.backstage import Backstage, SwiftEhr
from support.intakes import ASSERTION, AUTHENTICATING, accepted, claims, header, present, refuses_all
from support.tokens import compact

EVERYWHERE = pytest.mark.parametrize("intake", AUTHENTICATING)
ACCEPTED = ("client-authentication+jwt", "JWT", ...)
OTHERS = (
    "at+jwt",
    "application/at+jwt",
    "dpop+jwt",
    "oauth-authz-req+jwt",
    "Application/Client-Authentication+JWT",
    "CLIENT-AUTHENTICATION+JWT",
    "client-authentication+jwt ",
    "jwt",
    "logout+jwt",
    "",
    None,
    1,
    ["JWT"],
)


def typed(ehr: SwiftEhr, typ: object) -> str:
    return compact(header(ASSERTION, ehr, typ=typ), claims(ASSERTION, ehr), ehr.key)


@EVERYWHERE
@pytest.mark.parametrize("typ", ACCEPTED)
def test_c7_the_three_spellings_that_clients_use_are_accepted(typ: object, intake: str, attacker: SwiftEhr):
    """The type of rfc7523bis, the general type and none at all are accepted."""
    assert accepted(present(attacker, intake, typed(attacker, typ)))


@EVERYWHERE
def test_c7_another_kind_of_token_is_no_assertion(intake: str, attacker: SwiftEhr):
    """Whatever else a token says it is, it does not authenticate its signer."""
    tokens = {str(typ): typed(attacker, typ) for typ in OTHERS}
    assert refuses_all(attacker, intake, tokens) == {}


@EVERYWHERE
def test_c7_a_client_may_be_held_to_the_exact_type(intake: str, backstage: Backstage):
    """With the strict switch of a client only the type of rfc7523bis is left."""
    ehr = backstage.client(require_typ=True)
    assert refuses_all(ehr, intake, {str(typ): typed(ehr, typ) for typ in ("JWT", ...)}) == {}
