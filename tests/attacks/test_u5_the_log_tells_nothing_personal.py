"""U5: the log of the service holds no number, no name, no token and no key, whatever was sent."""

import re

import orjson

from support.backstage import Backstage, eventually
from support.ehr import attestation
from tillit.protocol.jose import private_jwk

PERSONS = ("14857527039", "05825031016", "63714815050", "54857527022", "KLAR SKOGSTJERNE", "STRENG DUGNAD")


def test_u5_nothing_of_a_request_is_in_the_log(backstage: Backstage):
    """After tokens, refusals and explanations neither persons nor tokens nor keys stand in the log."""
    ehr = backstage.client()
    assertion, proof = ehr.assertion(details=attestation()), ehr.proof()
    issued = ehr.send(ehr.form(assertion), proof)
    assert issued.status == 200
    refused = [
        ehr.send(ehr.form(assertion), ehr.proof()),
        ehr.token(attestation(practitioner__identifier__id="14857527038")),
        ehr.token(attestation(patients__0__identifier__id="05825031017")),
        ehr.token(attestation(care_relationship__decision_ref__id="05825031016")),
        ehr.token(attestation(practitioner__authorization__code="05825031016")),
        ehr.token(attestation(m05825031016=1)),
        ehr.token(scope="scope-05825031016"),
        ehr.send(ehr.form(ehr.assertion(sub="05825031016")), ehr.proof()),
        ehr.send(ehr.form(ehr.assertion(jti="05825031016" * 20)), ehr.proof()),
        ehr.explain(attestation(patients__0__identifier__id="05825031017")),
    ]
    last = refused[-2].headers["Error-Id"]
    assert eventually(lambda: last in backstage.service.log())
    log = backstage.service.log()
    secrets = [*assertion.split("."), *proof.split("."), *issued.json["access_token"].split(".")]
    secrets += [private_jwk(ehr.key)["d"], private_jwk(ehr.dpop_key)["d"], issued.headers["DPoP-Nonce"]]
    for secret in (*PERSONS, *secrets):
        assert secret not in log
    assert not re.search(r"(?<![0-9a-f.])[0-9]{11}(?![0-9a-f])", log)


def test_u5_the_database_holds_no_person_in_clear(backstage: Backstage):
    """Audit and replay memory are files; a person's number, a name or an assertion is not to be found in them."""
    ehr = backstage.client()
    assertion = ehr.assertion(details=attestation())
    assert ehr.send(ehr.form(assertion), ehr.proof()).status == 200
    stored = b"".join(path.read_bytes() for path in backstage.service.data.glob("tillit.sqlite*"))
    assert len(stored) > 0
    for secret in (*PERSONS, assertion, assertion.split(".")[1]):
        assert secret.encode() not in stored


def test_u5_every_line_of_ours_is_one_json_object(backstage: Backstage):
    """A line that is ours is JSON with a time, a level and a message: nothing a request holds can start another."""
    ehr = backstage.client()
    ehr.token(scope='x\u2028"}{"level":"fault"')
    ehr.send(ehr.form(ehr.assertion(jti='a\n{"level":"fault"}\x1b[2J')), ehr.proof())
    lines = [line for line in backstage.service.log().splitlines() if line.startswith("{")]
    assert lines
    for line in lines:
        entry = orjson.loads(line)
        assert {"time", "level", "message"} <= set(entry)
        assert entry["level"] != "fault"
