"""What comes back from a token endpoint, and what is made of it."""

import pytest

from tillit.client import BadAnswer, ClientError, ServerRefused
from tillit.outbound import Response


def refused(kind, act, *arguments, **keywords):
    with pytest.raises(kind) as caught:
        act(*arguments, **keywords)
    return caught.value


def test_the_nonce_is_answered_once_with_everything_new(world):
    """A demand for a nonce costs one retry, with a new assertion and a new proof (RFC 9449 §8)."""
    world.server.demand = ["n-1"]
    world.client.fetch_token()

    assert [proof.nonce for proof in world.server.proofs] == [None, "n-1"]
    assert len({assertion.jti for assertion in world.server.assertions}) == 2
    assert len({proof.jti for proof in world.server.proofs}) == 2


def test_a_second_demand_is_given_to_the_caller(world):
    """A server that demands a nonce for ever is asked twice and no more."""
    world.server.demand = ["n-1", "n-2", "n-3"]
    error = refused(ServerRefused, world.client.fetch_token)

    assert (error.code, world.server.token_requests) == ("use_dpop_nonce", 2)


def test_the_newest_nonce_is_kept(world):
    """The nonce of the last answer goes into the next request, also when it came with a token (RFC 9449 §8.2)."""
    world.server.demand = ["n-1"]
    world.client.fetch_token()
    world.client.fetch_token()
    world.server.answers = [Response(503, (("DPoP-Nonce", "n-2"),), b"{}")]
    refused(ClientError, world.client.fetch_token)
    world.server.answers = [world.server.granted(headers=(("DPoP-Nonce", "n-3"),))]
    world.client.fetch_token()
    world.client.fetch_token()

    assert [proof.nonce for proof in world.server.proofs] == [None, "n-1", "n-1", "n-1", "n-2", "n-3"]


def test_a_nonce_on_a_page_that_is_no_json_is_not_answered(world):
    """A nonce beside something that is no OAuth error asks for nothing."""
    world.server.answers = [Response(400, (("DPoP-Nonce", "x"),), b"<html>")]

    assert refused(BadAnswer, world.client.fetch_token).code == BadAnswer.NOT_JSON
    assert world.server.token_requests == 1


def test_an_error_with_a_nonce_that_is_no_challenge_is_not_repeated(world):
    """Only use_dpop_nonce asks for a retry; another error with the header is what it says."""
    world.server.answers = [Response(400, (("DPoP-Nonce", "x"),), b'{"error":"invalid_scope"}')]

    assert refused(ServerRefused, world.client.fetch_token).code == "invalid_scope"
    assert world.server.token_requests == 1


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"access_token": ...}, BadAnswer.NO_ACCESS_TOKEN),
        ({"access_token": ""}, BadAnswer.NO_ACCESS_TOKEN),
        ({"access_token": 7}, BadAnswer.NO_ACCESS_TOKEN),
        ({"token_type": "Bearer"}, BadAnswer.NOT_SENDER_CONSTRAINED),
        ({"token_type": ...}, BadAnswer.NOT_SENDER_CONSTRAINED),
        ({"token_type": ["DPoP"]}, BadAnswer.NOT_SENDER_CONSTRAINED),
        ({"expires_in": ...}, BadAnswer.BAD_EXPIRES_IN),
        ({"expires_in": 0}, BadAnswer.BAD_EXPIRES_IN),
        ({"expires_in": -1}, BadAnswer.BAD_EXPIRES_IN),
        ({"expires_in": "600"}, BadAnswer.BAD_EXPIRES_IN),
        ({"expires_in": True}, BadAnswer.BAD_EXPIRES_IN),
        ({"expires_in": 86_401}, BadAnswer.BAD_EXPIRES_IN),
        ({"scope": ["x"]}, BadAnswer.BAD_SCOPE),
        ({"scope": 'a"b'}, BadAnswer.BAD_SCOPE),
        ({"scope": None}, BadAnswer.BAD_SCOPE),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_not_used(world, members, code):
    """A token that is no bound token, or says nothing of its life, is refused by code."""
    world.server.forms.append({})
    answer = world.server.granted(**members)
    world.server.forms.clear()
    world.server.answers = [answer]

    assert refused(BadAnswer, world.client.fetch_token).code == code


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"a":1,"a":2}'])
def test_an_answer_that_is_no_json_object(world, body):
    """Whatever the status, a body that is no JSON object is a bad answer."""
    for status in (200, 400, 502):
        world.server.answers = [Response(status, (), body)]
        assert refused(BadAnswer, world.client.fetch_token).code == BadAnswer.NOT_JSON


def test_a_token_without_scope_has_what_was_asked_for(world):
    """An answer without scope grants what was requested (RFC 6749 §5.1)."""
    world.server.forms.append({})
    answer = world.server.granted(scope=...)
    world.server.answers = [answer, answer]

    assert world.client.fetch_token(scope="a b").scope == ("a", "b")
    assert world.client.fetch_token().scope == ()


def test_a_refusal_is_told_by_its_code(world):
    """Code, description, status and Retry-After of the server's refusal reach the caller as data."""
    body = b'{"error":"access_denied","error_description":"ATT-12: practitioner.legal_entity: no"}'
    world.server.answers = [Response(503, (("Retry-After", "2"),), body), Response(400, (), b'{"error":7}')]
    error = refused(ServerRefused, world.client.fetch_token)

    assert (error.code, error.status, error.retry_after) == ("access_denied", 503, 2)
    assert error.description.startswith("ATT-12")
    assert error.cause == {"status": 503, "retry_after": 2}
    assert refused(ServerRefused, world.client.fetch_token).code == "server_error"
