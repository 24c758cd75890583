"""The four example attestations through the whole running chain, to the last member of their tokens."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import Answer
from support.service import PHR, Service
from support.tokens_seen import CLAIM, verified
from tillit.attestation.rulebook import RULE_PACK_VERSION
from tillit.protocol.dpop import make_proof
from tillit.verifier import Verifier

pytestmark = pytest.mark.xdist_group("examples")

EXAMPLES = Path(__file__).parents[1] / "vectors" / "attestation" / "examples"
SIGNED, RECEIVED = 1768465800, 1768465812
AUDIENCE = "nhn:phr"
ORGNR_PARENT = "helseid://claims/client/claims/orgnr_parent"
ORGNR_CHILD = "helseid://claims/client/claims/orgnr_child"
TENANCY = "helseid://claims/client/client_tenancy"
URL = "https://source.example/documents"

# Name: the client's registration, the lifetime of its assertions, and the organisations in the token.
CLIENTS: dict[str, tuple[dict[str, Any], int, dict[str, str]]] = {
    "specialist-care": (
        {"legal_entities": ["310000019"]},
        60,
        {ORGNR_PARENT: "310000019", ORGNR_CHILD: "311540025"},
    ),
    "general-practice": ({"legal_entities": ["314200772"]}, 10, {ORGNR_PARENT: "314200772"}),
    "municipality": (
        {"legal_entities": ["215600343"], "tenancy": "multi"},
        60,
        {ORGNR_PARENT: "215600343", ORGNR_CHILD: "312331055"},
    ),
    "break-the-glass": (
        {"legal_entities": ["310000019"]},
        60,
        {ORGNR_PARENT: "310000019", ORGNR_CHILD: "311540025"},
    ),
}


@pytest.fixture(scope="module")
def backstage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service twelve seconds after the examples were signed."""
    with Service(tmp_path_factory.mktemp("examples"), frozen=float(RECEIVED)) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


def example(name: str) -> dict[str, Any]:
    """An example, its practitioner named as this grant needs."""
    document = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    details = copy.deepcopy(document["input"])
    person = document["person"]
    system = "urn:oid:2.16.578.1.12.4.1.4." + ("2" if person[0] > "3" else "1")
    for detail in details if isinstance(details, list) else [details]:
        if detail["type"] == CLAIM:
            detail["practitioner"].setdefault("identifier", {"id": person, "system": system})
    return {**document, "details": details}


def asked(backstage: Backstage, name: str) -> tuple[SwiftEhr, Answer]:
    """A client of the example's enterprise, and the answer to its request."""
    members, lifetime, _ = CLIENTS[name]
    ehr = backstage.client(**members)
    details = example(name)["details"]
    times = {"iat": SIGNED, "nbf": SIGNED, "exp": SIGNED + lifetime}
    return ehr, ehr.send(ehr.form(ehr.assertion(details=details, **times)), ehr.proof())


@pytest.mark.parametrize("name", CLIENTS)
def test_the_token_of_an_example_is_what_was_published(name: str, backstage: Backstage):
    """Every claim is there, none is over, and the attestation equals the published one to the letter."""
    ehr, answer = asked(backstage, name)
    claims = verified(ehr.service, answer, audience=AUDIENCE)
    members, _, organisations = CLIENTS[name]
    attestation = claims.pop(CLAIM)
    assert json.dumps(attestation) == json.dumps(example(name)["claim"])
    assert len(claims.pop("jti")) >= 32
    left = attestation["toa"] + 3600 - RECEIVED
    assert claims == {
        "iss": ehr.service.issuer,
        "sub": ehr.client_id,
        "aud": AUDIENCE,
        "client_id": ehr.client_id,
        "scope": [PHR],
        "iat": RECEIVED,
        "nbf": RECEIVED,
        "exp": RECEIVED + min(600, left),
        "cnf": {"jkt": ehr.dpop_key.public.thumbprint},
        "client_amr": "private_key_jwt",
        TENANCY: f"{members.get('tenancy', 'single')}-tenant",
        **organisations,
        "practitioner_established_by": "legal_entity",
        "rule_pack_version": RULE_PACK_VERSION,
    }


@pytest.mark.parametrize("name", CLIENTS)
def test_the_answer_around_the_token_is_what_the_standards_say(name: str, backstage: Backstage):
    """Type, lifetime, scope and headers of the answer, and nothing more (RFC 6749 §5.1, RFC 9449 §5)."""
    _, answer = asked(backstage, name)
    body = answer.json
    assert body.pop("access_token").count(".") == 2
    assert body == {"token_type": "DPoP", "expires_in": 600, "scope": PHR}
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["DPoP-Nonce"]


@pytest.mark.parametrize("name", CLIENTS)
def test_a_document_source_understands_the_token(name: str, backstage: Backstage):
    """The verifier, offline but for the keys, sees the person, the enterprise, the purpose and the patients."""
    ehr, answer = asked(backstage, name)
    document = example(name)
    token = answer.json["access_token"]
    verifier = Verifier(
        ehr.service.issuer, AUDIENCE, accept_established_by={"legal_entity"}, clock=ehr.service.now
    )
    proof = make_proof(ehr.dpop_key, "GET", URL, now=RECEIVED, access_token=token)
    access = verifier.verify("GET", URL, [("Authorization", f"DPoP {token}"), ("DPoP", proof)])
    assert access.person is not None
    assert access.person.number == document["person"]
    assert access.person.established_by == "legal_entity"
    assert access.organisation is not None
    claim = document["claim"]
    assert access.organisation.legal_entity == claim["practitioner"]["legal_entity"]["id"]
    assert access.purpose == claim["care_relationship"]["purpose_of_use"]["code"]
    assert access.patients == {p["identifier"]["id"] for p in claim["patients"] if "identifier" in p}


@pytest.mark.parametrize("name", CLIENTS)
def test_the_audit_holds_what_the_framework_asks_for(name: str, backstage: Backstage):
    """Decision, purpose, enterprise and rule pack stand in clear; persons and the signed assertion only sealed."""
    ehr, answer = asked(backstage, name)
    assert answer.status == 200
    (entry,) = backstage.entries("issuer.token.issued", client_id=ehr.client_id)
    document = example(name)
    care = document["claim"]["care_relationship"]
    assert entry.public["decision_ref"] == care["decision_ref"]["id"]
    assert entry.public["purpose"] == care["purpose_of_use"]["code"]
    assert entry.public["rule_pack"] == RULE_PACK_VERSION
    assert document["person"] not in str(entry.public)
    assert entry.personal is not None
    assert entry.personal["practitioner"] == document["person"]
    assert entry.personal["assertion"].count(".") == 2
    alarms = backstage.entries("issuer.glass.broken", client_id=ehr.client_id)
    assert len(alarms) == (name == "break-the-glass")


def test_what_was_read_leniently_is_written_down(backstage: Backstage):
    """The municipality's old spellings are accepted, and the audit says which tolerances they needed."""
    ehr, answer = asked(backstage, "municipality")
    assert answer.status == 200
    (entry,) = backstage.entries("issuer.token.issued", client_id=ehr.client_id)
    noted = {remark.partition(":")[0] for remark in entry.public["remarks"]}
    assert {"N-3", "N-6", "N-8"} <= noted
    assert "Spak Bokhylle" not in str(entry.public)
