"""An EHR system whose owner renews its keys by publishing them, and calls nobody."""

import json

from support.backstage import ATTESTATION_SCOPE, SwiftEhr, Timeline
from support.key_publisher import KeyPublisher
from support.login import Reception
from support.service import PHR, Service
from tillit.protocol.jose import generate_key


def test_a_key_is_renewed_without_a_call(timeline: Timeline):
    """A key that is published beside the old one signs at once; one that is taken away signs no more."""
    old, new = generate_key("ES256"), generate_key("PS256")
    start = timeline.moment()
    with KeyPublisher(old) as publisher:
        ehr = timeline.backstage.client(old, keys=(), jwks_uri=publisher.uri)
        assert ehr.token().status == 200

        publisher.publishes(old, new)
        ehr.key = new
        assert ehr.token().status == 200
        ehr.key = old
        assert ehr.token().status == 200
        assert len(publisher.asked) == 2

        publisher.publishes(new)
        timeline.at(start + 301)
        assert ehr.send(ehr.form(), None).error == "invalid_client"
        ehr.key = new
        assert ehr.token().status == 200
        assert len(publisher.asked) == 3

        publisher.says(b"", status=500)
        timeline.at(start + 3600)
        assert ehr.token().status == 200


def test_an_operator_sees_what_a_client_publishes(service: Service):
    """A client is registered by its address; the list of clients tells when its keys were fetched."""
    key = generate_key("ES256")
    place = ["--data", str(service.data)]
    with KeyPublisher(key) as publisher:
        registration = ["--id", "ehr-publishing", "--jwks-uri", publisher.uri, "--legal-entity", "310000019"]
        registration += ["--scope", f"{PHR} {ATTESTATION_SCOPE}", "--attests-without-login"]
        added = service.cli("clients", "add", *place, *registration)
        assert added.stdout == f"ehr-publishing: registered (fapi2, {publisher.uri})\n"
        assert SwiftEhr(service, "ehr-publishing", key).token().status == 200

    clients = json.loads(service.cli("clients", "list", *place, "--output", "json").stdout)
    (published,) = [client["published_keys"] for client in clients if client["id"] == "ehr-publishing"]
    assert [found["kid"] for found in published["keys"]] == [key.kid]
    assert 0 <= service.now() - published["fetched_at"] < 300
    (line,) = [
        line
        for line in service.cli("clients", "list", *place).stdout.splitlines()
        if "ehr-publishing" in line
    ]
    assert "  1     fetched 20" in line


def test_requests_are_signed_with_published_keys_too(reception: Reception):
    """A request object by a key that was published since the last fetch is taken; by any other it is not."""
    old, new, foreign = (generate_key("ES256") for _ in range(3))
    with KeyPublisher(old) as publisher:
        ehr = reception.client(keys=(), jwks_uri=publisher.uri)
        ehr.key = old
        for key, status in ((old, 201), (new, 201), (foreign, 400)):
            form = ehr.signed_form(ehr.request_object(key=key))
            assert ehr.send(form, None, url=ehr.par).status == status
            publisher.publishes(old, new)
        assert len(publisher.asked) == 2
