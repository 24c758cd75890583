"""C8: one method of client authentication, sent once, in the body; nothing of it is ever logged."""

import base64
from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import SwiftEhr, eventually
from support.intakes import (
    AUTHENTICATING,
    accepted,
    address,
    fields,
    proper_refusal,
    submit,
    well_formed,
)
from support.tokens import changed
from support.wire import post

CANARY = "canaryc8secret"


EVERYWHERE = pytest.mark.parametrize("intake", AUTHENTICATING)
KINDS: tuple[Any, ...] = (
    ...,
    "",
    "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
    "urn:ietf:params:oauth:client-assertion-type:JWT-bearer",
    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer ",
)


def form(intake: str, ehr: SwiftEhr, **changes: Any) -> dict[str, str]:
    """A good form with a fresh assertion and changes; ``...`` removes a parameter."""
    return changed(fields(intake, ehr, ehr.assertion()), changes)


@EVERYWHERE
@pytest.mark.parametrize("scheme", ["Basic", "Bearer", "DPoP", "Digest"])
def test_c8_an_authorization_header_beside_the_assertion_is_refused(
    scheme: str, intake: str, attacker: SwiftEhr
):
    """Two ways to say who one is are one too many, whichever of them is right."""
    credentials = base64.b64encode(f"{attacker.client_id}:{CANARY}".encode()).decode()
    for value in (credentials, base64.b64encode(f"{attacker.client_id}:".encode()).decode()):
        answer = submit(
            attacker, intake, form(intake, attacker), headers={"Authorization": f"{scheme} {value}"}
        )
        assert proper_refusal(intake, answer) is None


@EVERYWHERE
def test_c8_a_client_secret_is_no_way_in(intake: str, attacker: SwiftEhr):
    """A secret is refused beside an assertion and instead of one."""
    answer = submit(attacker, intake, form(intake, attacker, client_secret=CANARY))
    assert proper_refusal(intake, answer) is None
    without = form(intake, attacker, client_secret=CANARY, client_assertion=..., client_assertion_type=...)
    assert proper_refusal(intake, submit(attacker, intake, without)) is None


@EVERYWHERE
@pytest.mark.parametrize("kind", KINDS)
def test_c8_the_type_of_the_assertion_is_named_exactly(kind: Any, intake: str, attacker: SwiftEhr):
    """A missing or other `client_assertion_type` refuses the client."""
    answer = submit(attacker, intake, form(intake, attacker, client_assertion_type=kind))
    assert proper_refusal(intake, answer) is None


@EVERYWHERE
def test_c8_no_parameter_twice(intake: str, attacker: SwiftEhr):
    """Two fields of one name are refused, be they equal or not, known or not."""
    sent = form(intake, attacker, x="1")
    for name in sent:
        for second in (sent[name], attacker.assertion(), ""):
            answer = submit(attacker, intake, [*sent.items(), (name, second)])
            assert (answer.status, answer.error) == (400, "invalid_request"), name


@EVERYWHERE
def test_c8_credentials_belong_in_the_body(intake: str, attacker: SwiftEhr):
    """An assertion in the URL is refused, and so is every method but POST."""
    sent = form(intake, attacker)
    answer = submit(attacker, intake, b"", query=f"?{urlencode(sent)}")
    assert (answer.status, answer.error) == (400, "invalid_request")
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = submit(attacker, intake, urlencode(sent).encode(), method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST"), method
        assert well_formed(answer), method
    assert accepted(submit(attacker, intake, sent))


@EVERYWHERE
def test_c8_nothing_that_was_sent_is_in_the_log(intake: str, attacker: SwiftEhr):
    """Not the secret, not the assertion, not the proof: the log tells of the refusal and quotes nothing."""
    assertion, proof = attacker.assertion(canary=CANARY), attacker.proof(canary=CANARY)
    sent = fields(intake, attacker, assertion) | {"client_secret": CANARY}
    url = address(intake, attacker)
    headers = {"User-Agent": CANARY, "X-Canary": CANARY}
    answer = attacker.send(sent, proof, url=url, headers=headers)
    path = url.removeprefix(attacker.service.issuer)
    post(attacker.service, f"client_assertion={assertion}&client_assertion={assertion}".encode(), path=path)
    post(attacker.service, b"", path=f"{path}?client_assertion={assertion}")
    assert eventually(lambda: answer.headers["Error-Id"] in attacker.service.log())
    log = attacker.service.log()
    for secret in (CANARY, assertion, proof, *assertion.split("."), *proof.split(".")):
        assert secret not in log
