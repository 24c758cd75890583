"""An access context: one practitioner, one attestation, and its end."""

import gc
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.ehr import ATTESTATION, attestation
from support.stand_in import NOW
from tillit.attestation.model import Attestation
from tillit.attestation.wire import from_claim
from tillit.client import NotSent, ServerRefused, Token
from tillit.outbound import Response

API = "https://source.example/documents"


def test_a_token_serves_until_shortly_before_its_end(world):
    """Within a context one token serves until ten seconds before it expires."""
    with world.client.patient_context(ATTESTATION) as context:
        seen = []
        for world.now in (NOW, NOW + 300, NOW + 589, NOW + 590, NOW + 591):
            seen.append(context.token().value)

    assert seen == ["token-1", "token-1", "token-1", "token-2", "token-2"]


def test_att_58b_the_attestation_is_renewed(world):
    """An attestation is used again for the same patient, and made anew when it gets old."""
    with world.client.patient_context(ATTESTATION) as context:
        for world.now in (NOW, NOW + 2999, NOW + 3700):
            context.token()

    assert [assertion.details["toa"] for assertion in world.server.assertions] == [NOW, NOW, NOW + 3700]


def test_att_58b_the_owner_decides_when(make_world):
    """renew_after=0 attests anew for each token."""
    world = make_world(renew_after=0)
    with world.client.patient_context(ATTESTATION) as context:
        for world.now in (NOW, NOW + 600):
            context.token()

    assert [assertion.details["toa"] for assertion in world.server.assertions] == [NOW, NOW + 600]


def test_an_attestation_may_be_a_decision_made_anew(world):
    """A function is called for each attestation, so that the EHR decides again."""
    decisions = []

    def decide():
        decisions.append(world.now)
        return attestation(
            care_relationship__decision_ref={"id": f"d-{len(decisions)}", "user_selected": True}
        )

    with world.client.patient_context(decide) as context:
        for world.now in (NOW, NOW + 600, NOW + 3000):
            context.token()

    assert decisions == [NOW, NOW + 3000]
    assert [one.details["care_relationship"]["decision_ref"]["id"] for one in world.server.assertions] == [
        "d-1",
        "d-1",
        "d-2",
    ]


def test_a_time_that_was_given_is_never_changed(world):
    """A toa of the EHR's own is sent as it is, and refused here when it has become too old."""
    with world.client.patient_context(attestation(toa=NOW - 3000)) as context:
        context.token()
        world.now = NOW + 590
        context.token()
        world.now = NOW + 1200
        with pytest.raises(NotSent) as caught:
            context.token()

    assert [assertion.details["toa"] for assertion in world.server.assertions] == [NOW - 3000] * 2
    assert "attestation_has_expired" in str(caught.value)


def test_a_ready_attestation_is_judged_too(world):
    """An Attestation made elsewhere passes the same rules before it is sent."""
    good = {**attestation(toa=NOW)}
    ready = from_claim(good)
    with world.client.patient_context(ready) as context:
        assert isinstance(context.attestation(), Attestation)
        context.token()
        world.now = NOW + 3600
        with pytest.raises(NotSent):
            context.token()

    assert world.server.token_requests == 1


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"practitioner__identifier": ...}, "ATT-10"),
        ({"practitioner__legal_entity__id": "310000018"}, "ATT-15"),
        ({"practitioner__point_of_care": ...}, "ATT-18a"),
        ({"care_relationship__purpose_of_use__code": "PATADMIN"}, "ATT-38"),
        ({"care_relationship__decision_ref__user_selected": "false"}, "ATT-48"),
        ({"patients__0__identifier__id": "05825031017"}, "ATT-4"),
        ({"auhtorization": 1}, "ATT-SHAPE"),
        ({"toa": NOW - 3601}, "ATT-58c"),
        ({"toa": NOW * 1000}, "ATT-58a"),
        ({"type": "something"}, "ATT-TYPE"),
    ],
)
def test_a_bad_attestation_is_not_sent(world, change, rule):
    """What breaks a rule is refused before anything leaves, with every violation by rule and member."""
    with world.client.patient_context(attestation(**change)) as context, pytest.raises(NotSent) as caught:
        context.token()

    assert caught.value.code == NotSent.ATTESTATION_REFUSED
    assert rule in {violation.rule for violation in caught.value.violations}
    assert world.server.token_requests == 0
    assert world.server.issuer.asked == []
    assert "05825031017" not in f"{caught.value} {caught.value.cause}"


def test_test_persons_are_not_sent_in_production(make_world):
    """Without synthetic_identifiers an attestation about test persons is not sent."""
    world = make_world(synthetic_identifiers=False)
    with world.client.patient_context(ATTESTATION) as context, pytest.raises(NotSent):
        context.token()


def test_att_58b_leaving_forgets(world):
    """Leaving a patient's context drops attestation and token; every later use is refused."""
    with world.client.patient_context(ATTESTATION, scope="x") as context:
        context.request("GET", API)

    for act in (context.token, context.attestation, lambda: context.request("GET", API)):
        with pytest.raises(NotSent) as caught:
            act()
        assert caught.value.code == NotSent.CONTEXT_CLOSED
    assert (context._token, context._attestation, context._source, context._client) == (None,) * 4
    assert "closed" in repr(context)


def reachable(*roots, beside):
    """The ids of every object that can be reached from the roots, without passing through the test's own world."""
    seen = {id(beside), id(beside.server)}
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) not in seen and not isinstance(item, type | types.ModuleType | types.FunctionType):
            seen.add(id(item))
            waiting.extend(gc.get_referents(item))
    return seen


def test_att_58b_nothing_refers_to_a_forgotten_token(world):
    """After leaving, no reference to token or attestation is left in the library."""
    with world.client.patient_context(attestation()) as context:
        context.token()
        token, attested = context._token, context._attestation
        assert {id(token), id(attested)} <= reachable(context, beside=world)

    assert reachable(context, world.client, beside=world).isdisjoint({id(token), id(attested)})


def test_att_58b_leaving_by_an_error_forgets_too(world):
    """A context left by an exception is as closed as any."""
    world.server.answers = [Response(400, (), b'{"error":"access_denied"}')]
    context = world.client.patient_context(ATTESTATION)
    with pytest.raises(ServerRefused), context:
        context.token()

    with pytest.raises(NotSent):
        context.token()


def test_contexts_do_not_share(world):
    """Each patient's context has a token of its own."""
    with world.client.patient_context(ATTESTATION) as one, world.client.patient_context(ATTESTATION) as other:
        assert one.token() != other.token()


def test_a_context_without_attestation(world):
    """An API that demands no attestation gets a token without one."""
    with world.client.context(scope="x") as context:
        assert context.request("GET", API).status == 200
        assert context.attestation() is None

    assert world.server.assertions[0].details is None


def test_a_401_asks_for_a_new_token_next_time(world):
    """After an API refused the token, the next use asks for another; the answer is given as it came."""
    with world.client.context() as context:
        world.server.api_answers = [Response(401, (), b"no")]
        assert context.request("GET", API).body == b"no"
        assert context.request("GET", API).status == 200
        world.server.api_answers = [Response(403, (), b"no")]
        context.request("GET", API)
        context.request("GET", API)

    assert world.server.token_requests == 2


def test_threads_of_one_context_ask_once(world):
    """Sixteen threads that need a token at once cause one request."""
    barrier = threading.Barrier(16)
    with world.client.patient_context(ATTESTATION) as context:

        def ask(_):
            barrier.wait(30)
            return context.token().value

        with ThreadPoolExecutor(16) as pool:
            assert set(pool.map(ask, range(16))) == {"token-1"}


def test_a_failed_request_leaves_no_old_token(world):
    """When a new token is refused, the old one is not used on."""
    with world.client.context() as context:
        context.token()
        world.now = NOW + 595
        world.server.answers = [Response(400, (), b'{"error":"access_denied"}')]
        with pytest.raises(ServerRefused):
            context.token()
        assert context._token is None
        assert isinstance(context.token(), Token)
