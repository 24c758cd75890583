"""A day at work: a GP opens a document, a nurse goes from one patient to the next. Three programs, real sockets."""

import gc
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.backstage import Backstage
from support.service import PHR, Service
from support.sources import DocumentSource, example
from tillit.client import Client, NotSent
from tillit.client.context import Context
from tillit.client.token_request import Token
from tillit.outbound.transport import Response
from tillit.protocol.jose import generate_key

GP, MUNICIPALITY = "314200772", "215600343"
EYE_PATIENT, NURSING_HOME_PATIENT = "05825031016", "63714815050"
FNR, DNR = "urn:oid:2.16.578.1.12.4.1.4.1", "urn:oid:2.16.578.1.12.4.1.4.2"

pytestmark = pytest.mark.xdist_group("journeys")


@pytest.fixture(scope="module")
def source(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentSource]:
    """A document source that trusts the shared service."""
    with DocumentSource(service, tmp_path_factory.mktemp("source")) as running:
        yield running


@pytest.fixture(scope="module")
def ehrs(backstage: Backstage) -> Iterator[dict[str, Client]]:
    """The EHR of each enterprise, registered with the service."""
    with ExitStack() as stack:
        made = {}
        for enterprise in (GP, MUNICIPALITY):
            key = generate_key("ES256")
            backstage.register(f"ehr-of-{enterprise}", key, legal_entities=[enterprise])
            client = Client(backstage.service.issuer, f"ehr-of-{enterprise}", key, synthetic_identifiers=True)
            made[enterprise] = stack.enter_context(client)
        yield made


def open_documents(context: Context, source: DocumentSource, patient: str) -> Response:
    """Ask the source for a patient's documents within a context."""
    method, url, rest = source.search(patient)
    return context.request(method, url, **rest)


def tokens_in_memory(value: str) -> int:
    """How many tokens of this value the client library still holds anywhere in this process."""
    gc.collect()
    return sum(isinstance(thing, Token) and thing.value == value for thing in gc.get_objects())


def test_a_gp_opens_a_document(ehrs: dict[str, Client], source: DocumentSource):
    """The GP attests, sees the documents, and with the patient's context the token is gone from memory."""
    attestation = example("general-practice")
    attestation["patients"] = [{"identifier": {"id": EYE_PATIENT, "system": FNR}}]
    with ehrs[GP].patient_context(attestation, scope=PHR) as context:
        answer = open_documents(context, source, EYE_PATIENT)
        assert (answer.status, json.loads(answer.body)["documents"][1]) == (200, "Anestesijournal 2023")
        value = context.token().value
        assert tokens_in_memory(value) == 1
    assert tokens_in_memory(value) == 0
    for use in (context.token, context.attestation, lambda: open_documents(context, source, EYE_PATIENT)):
        with pytest.raises(NotSent):
            use()
    last = source.written_down()[-1]
    assert "STRENG DUGNAD (LE)" in last
    assert "STORGATA LEGEKONTOR AS" in last
    assert attestation["care_relationship"]["decision_ref"]["id"] in last
    assert EYE_PATIENT not in last
    assert attestation["practitioner"]["identifier"]["id"] not in last


def test_a_patient_has_blocked_the_gp(ehrs: dict[str, Client], source: DocumentSource):
    """A good token does not open what the patient has blocked, and the answer does not say that it was blocked."""
    attestation = example("general-practice")
    attestation["patients"] = [{"identifier": {"id": NURSING_HOME_PATIENT, "system": FNR}}]
    with ehrs[GP].patient_context(attestation, scope=PHR) as context:
        answer = open_documents(context, source, NURSING_HOME_PATIENT)
    assert (answer.status, json.loads(answer.body)) == (403, {"error": "access_denied"})


def nurse_at(patient: str, system: str, decision: str) -> dict[str, Any]:
    """What the nurse of the nursing home attests for a patient."""
    attestation = example("municipality")
    attestation["patients"]["identifier"] = {"id": patient, "system": system}
    attestation["care_relation"]["decision-ref"]["id"] = decision
    return attestation


def test_a_nurse_changes_patient(backstage: Backstage, ehrs: dict[str, Client], source: DocumentSource):
    """For each patient a new attestation and a new token; the first one's token opens nothing of the second."""
    ehr = ehrs[MUNICIPALITY]
    with ehr.patient_context(nurse_at(NURSING_HOME_PATIENT, DNR, "round-1"), scope=PHR) as first:
        assert open_documents(first, source, NURSING_HOME_PATIENT).status == 200
        kept = first.token()
    with ehr.patient_context(nurse_at(EYE_PATIENT, FNR, "round-2"), scope=PHR) as second:
        assert open_documents(second, source, EYE_PATIENT).status == 200
        assert second.token().value != kept.value
        # Whoever keeps the first token in spite of all has nothing of it at the next bed.
        method, url, rest = source.search(EYE_PATIENT)
        answer = ehr.request(method, url, kept, **rest)
        assert (answer.status, json.loads(answer.body)) == (403, {"error": "access_denied"})
        assert open_documents(second, source, NURSING_HOME_PATIENT).status == 403
    with pytest.raises(NotSent):
        first.token()
    decisions = [line.rsplit(" ", 1)[1] for line in source.written_down()[-2:]]
    assert decisions == ["round-1", "round-2"]
    issued = backstage.entries("issuer.token.issued", client_id="ehr-of-215600343")
    assert sorted(entry.public["decision_ref"] for entry in issued) == ["round-1", "round-2"]


def test_nothing_is_sent_that_the_rules_forbid(
    backstage: Backstage, ehrs: dict[str, Client], source: DocumentSource
):
    """An attestation that breaks a rule stays at home: the EHR tells the rule, and the service never hears of it."""
    attestation = nurse_at("63714815051", DNR, "round-3")
    with (
        ehrs[MUNICIPALITY].patient_context(attestation, scope=PHR) as context,
        pytest.raises(NotSent) as caught,
    ):
        open_documents(context, source, "63714815051")
    assert [violation.rule for violation in caught.value.violations] == ["ATT-4"]
    assert not backstage.entries("issuer.token.issued", decision_ref="round-3")
