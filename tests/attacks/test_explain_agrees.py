"""Explain and the token endpoint judge alike: same step, same rule, same words, for every request."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from werkzeug.test import Client, TestResponse

from support.backstage import ATTESTATION_SCOPE, SELF_SERVICE, Backstage, SwiftEhr, eventually
from support.ehr import CARE_RELATION, FNR, ORGNR, Answer, attestation
from support.intakes import PROOF, claims, header
from support.service import PHR
from support.tokens import compact, key_for
from support.tokens_seen import CLAIM, claims_of
from tillit_server.issuer.explain import ExplainLimit
from tillit_server.web.routes import Doors, make_app

Request = tuple[dict[str, str], str | None]
Make = Callable[[SwiftEhr], Request]


def form(**fields: Any) -> Make:
    return lambda ehr: (ehr.form(**fields), ehr.proof())


def assertion(**changes: Any) -> Make:
    return lambda ehr: (ehr.form(ehr.assertion(**{"details": attestation(), **changes})), ehr.proof())


def details(value: Any) -> Make:
    return lambda ehr: (ehr.form(ehr.assertion(details=value)), ehr.proof())


def changed(**changes: Any) -> Make:
    return details(attestation(**changes))


def proof(**changes: Any) -> Make:
    return lambda ehr: (ehr.form(), compact(header(PROOF, ehr), claims(PROOF, ehr, **changes), ehr.dpop_key))


MEMBERS = {"scopes": [PHR, ATTESTATION_SCOPE, SELF_SERVICE, "example:ward/list", "example:ward/patient"]}
BROKEN: dict[str, Make] = {
    "no grant": form(grant_type=...),
    "unknown grant": form(grant_type="password"),
    "no assertion": form(client_assertion=...),
    "no assertion type": form(client_assertion_type=...),
    "other client id": form(client_id="other"),
    "secret": form(client_secret="x"),
    "unknown client": assertion(iss="nobody", sub="nobody"),
    "wrong key": assertion(key=key_for("ES256", 9)),
    "wrong audience": assertion(aud="https://other.example"),
    "expired": assertion(iat=1, nbf=1, exp=31),
    "lives too long": lambda ehr: assertion(exp=int(ehr.service.now()) + 100)(ehr),
    "no jti": assertion(jti=...),
    "no proof": lambda ehr: (ehr.form(), None),
    "two proofs": lambda ehr: (ehr.form(), f"{ehr.proof()},{ehr.proof()}"),
    "other method": proof(htm="GET"),
    "other address": proof(htu="https://other.example"),
    "old proof": proof(iat=1),
    "bad scope": form(scope="unknown"),
    "identity scope": form(scope="openid"),
    "two targets": form(scope=f"{PHR} {SELF_SERVICE}"),
    "other resource": form(resource="nhn:selvbetjening"),
    "no attestation": details(None),
    "unsigned details": form(authorization_details="{}"),
    "old name": lambda ehr: (ehr.form(ehr.assertion(authorization_details=attestation())), ehr.proof()),
    "no JSON": details("{"),
    "unknown type": details({"type": "x"}),
    "misspelt": changed(practitioner__auhtorization={}),
    "expired attestation": changed(toa=1_700_000_000),
    "not delegated": changed(practitioner__legal_entity={"id": "314200772", "system": ORGNR}),
    "not in HPR": changed(practitioner__identifier={"id": "16858399649", "system": FNR}),
    "several faults": changed(
        practitioner__legal_entity__id="310000018",
        care_relationship__purpose_of_use__code="PATADMIN",
        patients__0__identifier__id="05825031017",
    ),
    "organisation": details({"type": "helseid_authorization"}),
    "two faults in two steps": lambda ehr: (ehr.form(scope="unknown"), ehr.proof(htm="GET")),
}
GOOD: dict[str, Make] = {
    "plain": form(),
    "attestation and scope": form(scope=f"{PHR} {ATTESTATION_SCOPE}"),
    "nearly an hour old": lambda ehr: changed(toa=int(ehr.service.now()) - 3500)(ehr),
    "without attestation": lambda ehr: (ehr.form(ehr.assertion(), scope=SELF_SERVICE), ehr.proof()),
    "by resource": form(scope=f"{PHR} {SELF_SERVICE}", resource="nhn:phr"),
    "lenient": changed(care_relationship__purpose_of_use_details__system=f"{CARE_RELATION}"),
}


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client with scopes of several APIs."""
    return backstage.client(**MEMBERS)


def both(ehr: SwiftEhr, make: Make) -> tuple[Any, Answer]:
    """The very same request explained, and then answered."""
    sent, dpop = make(ehr)
    explained = ehr.send(sent, dpop, url=f"{ehr.service.issuer}/explain")
    assert explained.status == 200, explained.body
    return explained.json, ehr.send(sent, dpop)


def logged(ehr: SwiftEhr, answer: Answer) -> Any:
    """What the log says about a refusal."""
    error_id = answer.headers["Error-Id"].encode()
    lines = eventually(
        lambda: [line for line in ehr.service.log_file.read_bytes().splitlines() if error_id in line]
    )
    return orjson.loads(lines[0])


@pytest.mark.parametrize("name", BROKEN)
def test_explain_refuses_what_the_endpoint_refuses_for_the_same_reason(name: str, ehr: SwiftEhr):
    """Step, code, description, rule, pointer, expected, found and clock difference are the endpoint's."""
    report, answer = both(ehr, BROKEN[name])
    line = logged(ehr, answer)
    assert report["verdict"] == "refused"
    assert (report["refused_by"], report["error"]) == (line["step"], answer.error)
    assert report["error_description"] == answer.description
    (step,) = [step for step in report["steps"] if step["step"] == report["refused_by"]]
    for member in ("rule", "pointer", "expected", "found"):
        assert step.get(member) == line.get(member), member
    assert step.get("clock_difference", 0) == pytest.approx(line.get("clock_difference", 0), abs=5)
    if answer.error == "invalid_client":
        assert step["description"] == line["detail"]
    before = [step["verdict"] for step in report["steps"][: report["steps"].index(step)]]
    assert set(before) <= {"passed"}


@pytest.mark.parametrize("name", GOOD)
def test_explain_promises_what_the_endpoint_then_grants(name: str, ehr: SwiftEhr):
    """Scope, audience, lifetime and attestation of the token are those that explain named."""
    report, answer = both(ehr, GOOD[name])
    assert report["verdict"] == "accepted"
    token = claims_of(answer)
    granted = report["would_grant"]
    assert granted["scope"] == answer.json["scope"]
    assert granted["audience"] == token["aud"]
    assert abs(granted["lifetime"] - answer.json["expires_in"]) <= 1
    assert granted["attested"] == (CLAIM in token)
    assert report["rule_pack_version"] == token.get("rule_pack_version", report["rule_pack_version"])


def test_explain_goes_on_after_a_refusal_and_tells_every_finding(ehr: SwiftEhr):
    """Two broken steps are both told, and of an attestation every rule, each with its pointer."""
    report, _ = both(ehr, BROKEN["two faults in two steps"])
    verdicts = {step["step"]: step["verdict"] for step in report["steps"]}
    assert verdicts["fresh_proof"] == verdicts["narrowed_scope"] == "refused"
    assert verdicts["accepted_attestation"] == "not_reached"
    report, _ = both(ehr, BROKEN["several faults"])
    findings = {finding["rule"]: finding for finding in report["steps"][-1]["findings"]}
    assert {"ATT-4", "ATT-15", "ATT-38"} <= set(findings)
    assert findings["ATT-4"]["pointer"] == "/patients/0/identifier/id"
    assert findings["ATT-38"]["found"] == "PATADMIN"
    assert "05825031017" not in str(report)


def test_explain_in_development_spends_nothing_and_remembers_nothing(backstage: Backstage):
    """However often a request is explained, it is still good, and neither audit nor refusals grow."""
    ehr = backstage.client()
    sent, dpop = GOOD["plain"](ehr)
    for _ in range(5):
        assert ehr.send(sent, dpop, url=f"{ehr.service.issuer}/explain").json["verdict"] == "accepted"
    assert ehr.send(sent, dpop).status == 200
    for event in ("issuer.request.explained", "issuer.token.refused"):
        assert backstage.entries(event, client_id=ehr.client_id) == []
    report = ehr.send(sent, dpop, url=f"{ehr.service.issuer}/explain").json
    assert report["refused_by"] == "unseen"


def test_explain_gives_the_nonce_it_asks_for(ehr: SwiftEhr):
    """Without a nonce explain says so, and the header brings one, as at the token endpoint."""
    answer = ehr.send(ehr.form(), ehr.proof(nonce=...), url=f"{ehr.service.issuer}/explain")
    assert (answer.json["refused_by"], answer.json["error"]) == ("fresh_proof", "use_dpop_nonce")
    assert answer.headers["DPoP-Nonce"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.fixture(scope="module")
def production(backstage: Backstage) -> Client:
    """The front door of the same installation, were it not in development mode."""
    services = replace(backstage.services, dev=False)
    limit = ExplainLimit(3, backstage.service.now)
    return Client(make_app(services, Doors(path="", metadata={}, max_age=1, explain_limit=limit)))


def asked(production: Client, request: Request) -> TestResponse:
    sent, dpop = request
    return production.post("/explain", data=sent, headers={"DPoP": dpop} if dpop else {})


def test_explain_in_production_spends_what_it_was_sent_and_writes_it_down(
    production: Client, backstage: Backstage
):
    """An explained request cannot be used, nor explained again; the audit has an entry."""
    ehr = backstage.client()
    request = GOOD["plain"](ehr)
    assert asked(production, request).json["verdict"] == "accepted"
    assert asked(production, request).status_code == 401
    assert ehr.send(*request).status == 401
    (entry,) = backstage.entries("issuer.request.explained", client_id=ehr.client_id)
    assert "refused_by" not in entry.public


def test_explain_in_production_is_no_oracle(production: Client, backstage: Backstage):
    """Who does not authenticate hears nothing, and what a register holds is told by rule id alone."""
    ehr = backstage.client()
    stranger = asked(production, BROKEN["wrong key"](ehr))
    assert (stranger.status_code, set(stranger.json)) == (401, {"error", "error_description"})
    report = asked(production, BROKEN["not in HPR"](ehr)).json
    assert report is not None
    assert report["refused_by"] == "accepted_attestation"
    (step,) = [step for step in report["steps"] if step["verdict"] == "refused"]
    assert step == {
        "step": "accepted_attestation",
        "verdict": "refused",
        "rule": "ATT-32",
        "findings": [{"rule": "ATT-32"}],
    }
    assert "registered" not in str(report)


def test_explain_in_production_is_limited_per_client(production: Client, backstage: Backstage):
    """A client that asks too often is told to wait; others are not."""
    ehr, other = backstage.client(), backstage.client()
    answers = [asked(production, GOOD["plain"](ehr)).status_code for _ in range(4)]
    assert answers == [200, 200, 200, 429]
    limited = asked(production, GOOD["plain"](ehr))
    assert int(limited.headers["Retry-After"]) > 0
    assert asked(production, GOOD["plain"](other)).status_code == 200
