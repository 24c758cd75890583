"""C8: one method of client authentication, sent once, in the body; nothing of it is ever logged."""

import base64
from urllib.parse import urlencode

import pytest

from support.backstage import SELF_SERVICE, SwiftEhr, eventually
from support.intakes import ASSERTION, proper_refusal
from support.wire import post

CANARY = "canaryc8secret"


def fields(ehr: SwiftEhr, **changes: str) -> dict[str, str]:
    return ehr.form(ehr.assertion(), scope=SELF_SERVICE, **changes)


@pytest.mark.parametrize("scheme", ["Basic", "Bearer", "DPoP", "Digest"])
def test_c8_an_authorization_header_beside_the_assertion_is_refused(scheme: str, attacker: SwiftEhr):
    """Two ways to say who one is are one too many, whichever of them is right."""
    credentials = base64.b64encode(f"{attacker.client_id}:{CANARY}".encode()).decode()
    answer = attacker.send(
        fields(attacker), attacker.proof(), headers={"Authorization": f"{scheme} {credentials}"}
    )
    assert proper_refusal(ASSERTION, answer) is None


def test_c8_a_client_secret_is_no_way_in(attacker: SwiftEhr):
    """A secret is refused beside an assertion and instead of one."""
    answer = attacker.send(fields(attacker, client_secret=CANARY), attacker.proof())
    assert proper_refusal(ASSERTION, answer) is None
    form = fields(attacker, client_secret=CANARY, client_assertion=..., client_assertion_type=...)
    assert proper_refusal(ASSERTION, attacker.send(form, attacker.proof())) is None


@pytest.mark.parametrize(
    "kind",
    [
        ...,
        "",
        "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
        "urn:ietf:params:oauth:client-assertion-type:JWT-bearer",
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer ",
    ],
)
def test_c8_the_type_of_the_assertion_is_named_exactly(kind: object, attacker: SwiftEhr):
    """A missing or other `client_assertion_type` refuses the client."""
    answer = attacker.send(fields(attacker, client_assertion_type=kind), attacker.proof())
    assert proper_refusal(ASSERTION, answer) is None


@pytest.mark.parametrize("name", ["client_assertion", "client_assertion_type", "grant_type", "scope", "x"])
def test_c8_no_parameter_twice(name: str, attacker: SwiftEhr):
    """Two fields of one name are refused, be they equal or not, known or not."""
    form = fields(attacker, x="1")
    for second in (form[name], attacker.assertion(), ""):
        answer = attacker.send([*form.items(), (name, second)], attacker.proof())
        assert (answer.status, answer.error) == (400, "invalid_request")


def test_c8_credentials_belong_in_the_body(attacker: SwiftEhr):
    """An assertion in the URL is refused, and so is every method but POST."""
    form = fields(attacker)
    answer = attacker.send(b"", attacker.proof(), url=f"{attacker.endpoint}?{urlencode(form)}")
    assert (answer.status, answer.error) == (400, "invalid_request")
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = attacker.send(urlencode(form).encode(), attacker.proof(), method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST"), method
    assert attacker.send(form, attacker.proof()).status == 200


def test_c8_nothing_that_was_sent_is_in_the_log(attacker: SwiftEhr):
    """Not the secret, not the assertion, not the proof: the log tells of the refusal and quotes nothing."""
    assertion, proof = attacker.assertion(canary=CANARY), attacker.proof(canary=CANARY)
    form = attacker.form(assertion, scope=SELF_SERVICE, client_secret=CANARY)
    answer = attacker.send(form, proof, headers={"User-Agent": CANARY, "X-Canary": CANARY})
    post(attacker.service, f"client_assertion={assertion}&client_assertion={assertion}".encode())
    post(attacker.service, b"", path=f"/connect/token?client_assertion={assertion}")
    assert eventually(lambda: answer.headers["Error-Id"] in attacker.service.log())
    log = attacker.service.log()
    for secret in (CANARY, assertion, proof, *assertion.split("."), *proof.split(".")):
        assert secret not in log
