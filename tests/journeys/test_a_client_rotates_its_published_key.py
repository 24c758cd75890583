"""An EHR system whose owner renews its keys by publishing them, and calls nobody."""

import json

from support.backstage import Timeline
from support.key_publisher import KeyPublisher
from support.login import Reception
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
    shown = json.loads(
        timeline.service.cli(
            "clients", "list", "--data", str(timeline.service.data), "--output", "json"
        ).stdout
    )
    (listed,) = [client for client in shown if client["id"] == ehr.client_id]
    assert listed["jwks_uri"] == publisher.uri
    assert listed["published_keys"]["failure"] == "bad_status: 500"
    assert listed["published_keys"]["fetched_at"] == start + 301
    table = timeline.service.cli("clients", "list", "--data", str(timeline.service.data)).stdout
    assert "fetched 2026-" in next(line for line in table.splitlines() if line.startswith(ehr.client_id))


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
