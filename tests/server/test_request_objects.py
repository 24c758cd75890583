"""What a signed request says and what stands beside it, in each profile; what is attested with it."""

import secrets
from typing import Any

import pytest

from support.ehr import ATTESTATION, Answer, attestation
from support.login import LoginEhr, Reception
from support.service import PHR
from tillit_server.issuer.login.asked import Asked
from tillit_server.issuer.login.pushed_requests import REQUEST_URI, URN

ATTESTED = {"authorization_details": [ATTESTATION], "scope": f"openid {PHR} nhn:tillitsrammeverk:parameters"}


@pytest.fixture(scope="module")
def strict(reception: Reception) -> LoginEhr:
    """A client of the strict profile."""
    return reception.client()


@pytest.fixture(scope="module", params=["helseid", "legacy"])
def lenient(request: pytest.FixtureRequest, reception: Reception) -> LoginEhr:
    """A client of a profile that merges."""
    return reception.client(profile=request.param)


def pushed(reception: Reception, answer: Answer) -> Asked:
    """What the service has kept of a request that it took."""
    assert answer.status == 201, answer.body
    ticket = reception.services.store.tickets.peek(REQUEST_URI, answer.json["request_uri"].removeprefix(URN))
    assert ticket is not None
    return Asked.from_json(ticket.value)


def beside(ehr: LoginEhr, token: str, **fields: Any) -> Answer:
    """A request object with parameters beside it."""
    return ehr.send(ehr.signed_form(token, **fields), None, url=ehr.par)


def details_only(ehr: LoginEhr, header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A request object as the published samples make it: nothing inside but the details."""
    bare = dict.fromkeys((*ehr.parameters(), "client_id"), ...)
    inside = {"sub": ehr.client_id, "authorization_details": ATTESTATION, **claims}
    return ehr.request_object(header=header or {"typ": "client-authentication+jwt"}, **{**bare, **inside})


def test_in_the_strict_profile_a_request_object_stands_alone(strict: LoginEhr, reception: Reception):
    """What stands beside it is ignored, whether the object says the same, something else, or nothing."""
    token = strict.request_object(state=..., nonce="inside", max_age=60, resource=["nhn:phr"])
    outside = {"state": "outside", "nonce": "outside", "max_age": "1", "prompt": "login", "dpop_jkt": "x"}
    request = pushed(reception, beside(strict, token, **outside, resource="nhn:nothing")).request
    assert (request.state, request.nonce, request.max_age) == (None, "inside", 60)
    assert (request.prompt, request.resources, request.dpop_jkt) == (frozenset(), ("nhn:phr",), None)


def test_parameters_are_completed_from_beside_in_the_lenient_profiles(
    lenient: LoginEhr, reception: Reception
):
    """What is inside counts as signed, what is missing is taken from the form; the audit names the tolerance."""
    token = lenient.request_object(state=..., scope=f"openid {PHR}")
    fields = lenient.parameters(state="beside", scope=f"openid {PHR}", nonce=..., code_challenge=...)
    answer = beside(
        lenient, token, **fields, client_assertion=lenient.assertion(jti=(jti := secrets.token_hex(8)))
    )
    assert pushed(reception, answer).request.state == "beside"
    (used,) = reception.backstage.entries("issuer.tolerance.used", assertion_jti=jti)
    assert used.public["tolerances"] == ["merged_request_object"]


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"state": "a"}, {"state": "b"}),
        ({"scope": f"openid {PHR}"}, {"scope": "openid"}),
        ({"redirect_uri": "https://ehr.example/callback"}, {"redirect_uri": "https://ehr.example/other"}),
        ({"max_age": 60}, {"max_age": "61"}),
        ({"resource": ["nhn:phr"]}, {"resource": "example:ward"}),
        ({"unknown": "a"}, {"unknown": "b"}),
        ({"nonce": None}, {"nonce": "None"}),
    ],
)
def test_what_is_in_both_places_must_be_equal(inside: dict[str, Any], outside: Any, lenient: LoginEhr):
    """Else it is ``invalid_request``, and the description names the parameter."""
    answer = beside(lenient, lenient.request_object(**inside), **outside)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert answer.description.startswith(f"{next(iter(inside))}: not the same")


def test_equal_in_both_places_is_fine(lenient: LoginEhr, reception: Reception):
    """A number inside is equal to its digits beside; an array to the one value it holds."""
    token = lenient.request_object(max_age=60, resource=["nhn:phr"])
    request = pushed(reception, beside(lenient, token, max_age="60", resource="nhn:phr")).request
    assert (request.max_age, request.resources) == (60, ("nhn:phr",))


def test_details_alone_in_the_object_as_the_published_samples_send_it(
    lenient: LoginEhr, reception: Reception
):
    """All parameters beside, nothing inside but the attestation, typed as an assertion: taken, and written down."""
    jti = secrets.token_hex(8)
    fields = lenient.parameters(scope=ATTESTED["scope"])
    answer = beside(lenient, details_only(lenient), **fields, client_assertion=lenient.assertion(jti=jti))
    asked = pushed(reception, answer)
    assert asked.attests
    assert asked.request.state == fields["state"]
    (used,) = reception.backstage.entries("issuer.tolerance.used", assertion_jti=jti)
    assert set(used.public["tolerances"]) == {"assertion_typ", "missing_client_id", "merged_request_object"}
    (entry,) = reception.backstage.entries("issuer.request.pushed", assertion_jti=jti)
    assert entry.public["signed"]
    assert entry.public["details"] == ["nhn:tillitsrammeverk:parameters"]


def test_such_an_object_is_refused_in_the_strict_profile(strict: LoginEhr):
    """Neither the type nor the missing parameters are forgiven."""
    fields = strict.parameters(scope=ATTESTED["scope"])
    for header in ({"typ": "client-authentication+jwt"}, {"typ": "JWT"}, {"typ": "oauth-authz-req+jwt"}):
        answer = beside(strict, details_only(strict, header), **fields)
        assert (answer.status, answer.error) == (400, "invalid_request_object")


def test_an_object_that_could_be_an_assertion_is_spent_as_one(lenient: LoginEhr):
    """J18: under the type of an assertion it does not authenticate anybody afterwards."""
    fields = lenient.parameters(scope=ATTESTED["scope"])
    for typ in ("client-authentication+jwt", "JWT"):
        token = details_only(lenient, {"typ": typ})
        assert beside(lenient, token, **fields).status == 201
        answer = lenient.send(lenient.pushed_form(token), None, url=lenient.par)
        assert (answer.status, answer.error) == (401, "invalid_client")


def test_assertion_and_request_object_may_share_their_id(lenient: LoginEhr):
    """Also where the object is spent as an assertion: once is once, for both of them together."""
    jti = secrets.token_hex(8)
    fields = lenient.parameters(scope=ATTESTED["scope"])
    token = details_only(lenient, jti=jti)
    assert beside(lenient, token, **fields, client_assertion=lenient.assertion(jti=jti)).status == 201
    assert beside(lenient, token, **fields).error == "invalid_request_object"
    answer = lenient.push(client_assertion=lenient.assertion(jti=jti))
    assert (answer.status, answer.error) == (401, "invalid_client")


@pytest.mark.parametrize("typ", [..., "JWT", "client-authentication+jwt"])
def test_a_request_is_no_assertion_whatever_its_type(typ: Any, strict: LoginEhr, lenient: LoginEhr):
    """J18: what holds the parameters of a request, and all that an assertion needs, authenticates nobody."""
    for ehr in (strict, lenient):
        token = ehr.request_object(header={"typ": typ}, sub=ehr.client_id)
        answer = ehr.send(ehr.pushed_form(token), None, url=ehr.par)
        assert (answer.status, answer.error) == (401, "invalid_client")
        own = ehr.request_object(header={"typ": typ}, sub=ehr.client_id, redirect_uri=..., response_type=...)
        assert ehr.send(ehr.pushed_form(own), None, url=ehr.par).error == "invalid_client"


def test_a_request_object_with_an_id_is_good_once(strict: LoginEhr):
    """The same object again, beside a fresh assertion, is refused; another client's id is another id."""
    token = strict.request_object()
    assert beside(strict, token).status == 201
    answer = beside(strict, token)
    assert (answer.status, answer.error) == (400, "invalid_request_object")
    without = strict.request_object(jti=...)
    assert [beside(strict, without).status for _ in range(2)] == [201, 201]


def test_a_refused_request_object_was_not_spent(strict: LoginEhr):
    """What is refused for another reason costs neither its id nor that of the assertion."""
    jti = secrets.token_hex(8)
    assert beside(strict, strict.request_object(jti=jti, scope="nobody/knows")).error == "invalid_scope"
    assert beside(strict, strict.request_object(jti=jti)).status == 201


def test_a_client_may_be_held_to_signing(reception: Reception):
    """With the switch, form parameters alone are ``invalid_request``."""
    ehr = reception.client(require_signed_request_object=True)
    assert ehr.push().error == "invalid_request"
    assert ehr.push_signed().status == 201


@pytest.mark.parametrize("name", ["authorization_details", "assertion_details"])
def test_details_count_under_a_signature_alone(name: str, strict: LoginEhr, lenient: LoginEhr):
    """ATT-2: as a parameter of the form they are refused, also beside a request object, in every profile."""
    for ehr in (strict, lenient):
        for answer in (ehr.push(**{name: "[]"}), beside(ehr, ehr.request_object(), **{name: "[]"})):
            assert (answer.status, answer.error) == (400, "invalid_request")
            assert answer.description.startswith("ATT-2: ")


def test_an_attestation_is_judged_at_the_push(strict: LoginEhr, reception: Reception):
    """What needs no user is judged before anybody logs in, and by the time of the object, not of the push."""
    assert pushed(reception, strict.push_signed(**ATTESTED)).attests
    wrong = attestation(care_relationship__purpose_of_use__code="HMARKT")
    answer = strict.push_signed(**{**ATTESTED, "authorization_details": [wrong]})
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")
    assert answer.description.startswith("ATT-38")
    now = int(strict.service.now())
    old = {"nbf": now - 3590, "exp": now + 5}
    asked = pushed(reception, strict.push_signed(**ATTESTED, **old, iat=...))
    assert asked.carried is not None
    assert asked.carried.carrier_iat == now - 3590
    unknown = [{"type": "account_information"}]
    answer = strict.push_signed(**{**ATTESTED, "authorization_details": unknown})
    assert (answer.status, answer.error) == (400, "invalid_authorization_details")


def test_an_attestation_in_the_assertion_counts_for_nothing_at_the_push(
    strict: LoginEhr, reception: Reception
):
    """It is ignored, however bad it is; beside one in the request object it is ``HID-DOUBLE-STRUCTURE``."""
    for details in (ATTESTATION, {"type": "nobody knows"}, "x"):
        assertion = strict.assertion(details=details)
        asked = pushed(reception, strict.push(client_assertion=assertion))
        assert asked.carried is None
    form = strict.signed_form(
        strict.request_object(**ATTESTED), client_assertion=strict.assertion(details=ATTESTATION)
    )
    answer = strict.send(form, None, url=strict.par)
    assert (answer.status, answer.error) == (400, "access_denied")
    assert answer.description.startswith("HID-DOUBLE-STRUCTURE")


def test_the_other_name_for_details_is_told_and_not_dropped(strict: LoginEhr):
    """HID-1007: ``assertion_details`` in a request object would be lost in silence."""
    answer = strict.push_signed(assertion_details=[ATTESTATION])
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert answer.description.startswith("HID-1007")


def test_a_client_that_may_not_attest_is_told_at_the_push(reception: Reception):
    """Without the scope of the framework there is no attestation."""
    ehr = reception.client(scopes=["openid", PHR])
    answer = ehr.push_signed(scope=f"openid {PHR}", authorization_details=[ATTESTATION])
    assert (answer.status, answer.error) == (400, "invalid_scope")
