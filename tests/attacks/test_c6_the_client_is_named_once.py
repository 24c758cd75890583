"""C6: issuer, subject and client id name one and the same client."""

from urllib.parse import urlencode

import pytest

from support.backstage import Backstage, SwiftEhr
from support.intakes import AUTHENTICATING, accepted, fields, proper_refusal, refuses_all, submit

EVERYWHERE = pytest.mark.parametrize("intake", AUTHENTICATING)


@EVERYWHERE
def test_c6_issuer_and_subject_that_do_not_fit_are_refused(
    intake: str, attacker: SwiftEhr, backstage: Backstage
):
    """Another, a missing or an odd issuer or subject is refused, though the signature is good."""
    other = backstage.client().client_id
    odd = {
        "other": other,
        "missing": ...,
        "array": [attacker.client_id],
        "null": None,
        "empty": "",
        "number": 1,
    }
    tokens = {
        (name, what): attacker.assertion(**{name: value})
        for name in ("iss", "sub")
        for what, value in odd.items()
    }
    tokens["both other"] = attacker.assertion(iss=other, sub=other)
    tokens["both upper case"] = attacker.assertion(
        iss=attacker.client_id.upper(), sub=attacker.client_id.upper()
    )
    tokens["both padded"] = attacker.assertion(iss=f"{attacker.client_id} ", sub=f"{attacker.client_id} ")
    assert refuses_all(attacker, intake, tokens) == {}


@EVERYWHERE
def test_c6_a_client_id_beside_the_assertion_names_the_same_client(
    intake: str, attacker: SwiftEhr, backstage: Backstage
):
    """`client_id` in the form may be left out, but not name anybody else."""
    other = backstage.client().client_id
    for client_id in (other, "unknown", attacker.client_id.upper(), "x" * 5_000):
        form = fields(intake, attacker, attacker.assertion()) | {"client_id": client_id}
        assert proper_refusal(intake, submit(attacker, intake, form)) is None
    form = fields(intake, attacker, attacker.assertion())
    del form["client_id"]
    assert accepted(submit(attacker, intake, form))


@EVERYWHERE
def test_c6_nothing_is_taken_from_the_url(intake: str, attacker: SwiftEhr):
    """Parameters in the URL are refused, be it one or all of them."""
    form = fields(intake, attacker, attacker.assertion())
    for query in ("client_id=" + attacker.client_id, urlencode(form), "x"):
        answer = submit(attacker, intake, form, query=f"?{query}")
        assert (answer.status, answer.error) == (400, "invalid_request")
    assert accepted(submit(attacker, intake, form))
