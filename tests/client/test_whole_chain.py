"""The main job on real sockets: a service issues, a client asks, a document source decides. And the examples run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.ehr import ATTESTATION, attestation
from support.service import PHR, free_port, http
from tillit.client import Client, NotSent, ServerRefused
from tillit.protocol.jose import load_private_jwk, private_jwk
from tillit.verifier import Refused, Verifier

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
URL = "https://source.example/documents"
PATIENT = "05825031016"
ENTERPRISES = {
    "attestation-specialist-care": "310000019",
    "attestation-general-practice": "314200772",
    "attestation-municipality": "215600343",
    "attestation-break-the-glass": "310000019",
}


def example(name):
    return json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))


def a_client(service, client_id, **settings):
    return Client(
        service.issuer, client_id, service.add_client(client_id, **settings), synthetic_identifiers=True
    )


@pytest.fixture(scope="module")
def client(service):
    """A client registered with the real service."""
    with a_client(service, "ehr-chain") as client:
        yield client


@pytest.fixture
def verifier(service):
    """A document source that trusts the real service and accepts enterprises that vouch themselves."""
    return Verifier(service.issuer, "nhn:phr", scope=PHR, accept_established_by={"login", "legal_entity"})


def present(client, token, verifier, *, patient=None, url=URL):
    """What the source makes of a request by this client with this token."""
    sent = []
    client_send = client.wire.send
    client.wire.send = lambda request: sent.append(request) or _Answer()
    try:
        client.request("GET", url, token)
    finally:
        client.wire.send = client_send
    return verifier.verify("GET", url, sent[0].headers, patient)


class _Answer:
    status = 200
    body = b""

    def header(self, _):
        return None


def test_a_token_from_the_service_opens_the_source(client, verifier):
    """Discovery, nonce, assertion, attestation, token, keys, proof: all of it for real, over HTTP."""
    with client.patient_context(ATTESTATION, scope=PHR) as context:
        access = present(client, context.token(), verifier, patient=PATIENT)

    assert access.person.name == "KLAR SKOGSTJERNE"
    assert access.person.hpr_number == "222209991"
    assert access.organisation.legal_entity_name == "NORDFJELL UNIVERSITETSSYKEHUS HF"
    assert access.person.established_by == "legal_entity"
    assert access.client_id == "ehr-chain"


def test_the_default_source_does_not_take_the_weaker_form(client, service):
    """A source that has not opted in refuses a practitioner who has not logged in."""
    with client.patient_context(ATTESTATION, scope=PHR) as context, pytest.raises(Refused) as caught:
        present(client, context.token(), Verifier(service.issuer, "nhn:phr"))

    assert (caught.value.status, caught.value.error) == (403, "access_denied")


def test_another_patient_is_refused(client, verifier):
    """The same token opens nobody else's documents."""
    with client.patient_context(ATTESTATION, scope=PHR) as context, pytest.raises(Refused) as caught:
        present(client, context.token(), verifier, patient="63714815050")

    assert caught.value.rule == "ATT-4"


def test_what_the_client_lets_through_the_service_may_still_refuse(service, client):
    """Facts that only a register knows are refused by the service, with the rule the client can look up."""
    stranger = attestation(practitioner__authorization__code="SP")
    with client.patient_context(stranger, scope=PHR) as context, pytest.raises(ServerRefused) as caught:
        context.token()

    assert caught.value.code == "access_denied"
    assert caught.value.description.startswith("ATT-32")


@pytest.mark.parametrize("name", ENTERPRISES)
def test_the_example_attestations_open_the_source(service, verifier, name):
    """Every example attestation is accepted by client, service and source."""
    with (
        a_client(service, f"ehr-{name}", legal_entity=ENTERPRISES[name]) as client,
        client.patient_context(example(name), scope=PHR) as context,
    ):
        access = present(client, context.token(), verifier)

    assert access.organisation.legal_entity == ENTERPRISES[name]
    assert access.person.name


def test_the_examples_are_judged_before_they_are_sent(client):
    """An example with one digit changed does not leave the client."""
    broken = example("attestation-specialist-care")
    broken["patients"][0]["identifier"]["id"] = "05825031017"
    with client.patient_context(broken) as context, pytest.raises(NotSent):
        context.token()


@pytest.fixture(scope="module")
def source(service):
    """The example document source, running in a process of its own."""
    port = free_port()
    command = [
        sys.executable,
        str(EXAMPLES / "document_source.py"),
        "--issuer",
        service.issuer,
        "--port",
        str(port),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        url = f"http://127.0.0.1:{port}/documents/search"
        wait_for(url, process)
        yield url, process
        process.terminate()
        process.wait(10)


def wait_for(url, process):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            http("GET", url, timeout=1)
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the document source did not start")


def run_ehr(service, source, tmp_path, client_id, *arguments, attestation="attestation-specialist-care.json"):
    key = service.add_client(client_id)
    key_file = tmp_path / "key.json"
    key_file.write_text(json.dumps(private_jwk(key)), encoding="utf-8")
    assert load_private_jwk(json.loads(key_file.read_text(encoding="utf-8"))).kid == key.kid
    command = [
        sys.executable,
        str(EXAMPLES / "ehr_client.py"),
        "--issuer",
        service.issuer,
        "--client-id",
        client_id,
    ]
    command += [
        "--key",
        str(key_file),
        "--attestation",
        str(EXAMPLES / attestation),
        "--url",
        source[0],
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_example_programs_work_together(service, source, tmp_path):
    """The example EHR gets a token and the patient's documents from the example source."""
    done = run_ehr(service, source, tmp_path, "ehr-example")

    assert done.returncode == 0, done.stderr
    assert f"token for {PHR}" in done.stdout
    assert "Anestesijournal 2023" in done.stdout
    assert "KLAR SKOGSTJERNE" in seen(source)


def seen(source):
    """The next line of the source's log for the citizen that is about an access."""
    for line in source[1].stdout:
        if "decision" in line:
            return line
    return ""


def test_the_example_source_refuses_another_patient(service, source, tmp_path):
    """Asking for somebody else is refused without a reason."""
    done = run_ehr(service, source, tmp_path, "ehr-other", "--patient", "63714815050")

    assert done.returncode == 1
    assert '403 {"error": "access_denied"}' in done.stdout


def test_the_example_client_says_why_nothing_was_sent(service, source, tmp_path):
    """An attestation that breaks a rule is explained and not sent."""
    broken = example("attestation-specialist-care")
    del broken["practitioner"]["identifier"]
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(broken), encoding="utf-8")
    done = run_ehr(service, source, tmp_path, "ehr-broken", attestation=str(path))

    assert done.returncode == 1
    assert "not sent: ATT-10" in done.stdout
