"""C7: the type of an assertion is its own, absent, or the general one; every other kind of token is refused."""

import pytest

from support.backstage import Backstage, SwiftEhr
from support.intakes import ASSERTION, claims, header, present, refuses_all
from support.tokens import compact

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


@pytest.mark.parametrize("typ", ACCEPTED)
def test_c7_the_three_spellings_that_clients_use_are_accepted(typ: object, attacker: SwiftEhr):
    """The type of rfc7523bis, the general type and none at all are accepted."""
    assert present(attacker, ASSERTION, typed(attacker, typ)).status == 200


def test_c7_another_kind_of_token_is_no_assertion(attacker: SwiftEhr):
    """Whatever else a token says it is, it does not authenticate its signer."""
    tokens = {str(typ): typed(attacker, typ) for typ in OTHERS}
    assert refuses_all(attacker, ASSERTION, tokens) == {}


def test_c7_a_client_may_be_held_to_the_exact_type(backstage: Backstage):
    """With the strict switch of a client only the type of rfc7523bis is left."""
    ehr = backstage.client(require_typ=True)
    assert refuses_all(ehr, ASSERTION, {str(typ): typed(ehr, typ) for typ in ("JWT", ...)}) == {}
