"""Revocation over HTTP: what a client gives up is gone, and nothing else is (RFC 7009)."""

import pytest

from support.backstage import Backstage, SwiftEhr
from support.ehr import Answer
from support.granted import Granted, grant, introspect, login_client, revoke
from support.service import Service, http


@pytest.fixture(scope="module")
def ehr(backstage: Backstage) -> SwiftEhr:
    """A client whose users log in."""
    return login_client(backstage)


@pytest.fixture
def granted(backstage: Backstage, ehr: SwiftEhr) -> Granted:
    """A login of the test's own."""
    return grant(backstage, ehr)


def active(granted: Granted, *tokens: str) -> list[bool]:
    """Which of these tokens their own client is told to be active."""
    return [introspect(granted.ehr, token).json["active"] for token in tokens]


def accepted(answer: Answer) -> bool:
    """Whether the answer is the one and only good one."""
    return answer.status == 200 and answer.headers["Cache-Control"] == "no-store"


def test_a_refresh_token_takes_its_login_with_it(backstage: Backstage, ehr: SwiftEhr, granted: Granted):
    """Every access and refresh token of that login is dead, and those of another login are not."""
    other = grant(backstage, ehr)
    tokens = [granted.access_token(), granted.access_token(), granted.refresh_token()]
    others = [other.access_token(), other.refresh_token()]
    assert accepted(revoke(ehr, granted.refresh_token()))
    assert active(granted, *tokens, *others) == [False, False, False, True, True]
    assert granted.userinfo(tokens[0]).status == 401
    assert other.userinfo(others[0]).status == 200
    (entry,) = backstage.entries("issuer.token.revoked", family=granted.authorized.family)
    assert entry.public["client_id"] == ehr.client_id


def test_an_access_token_goes_alone(backstage: Backstage, ehr: SwiftEhr, granted: Granted):
    """The other tokens of the same login live on."""
    first, second = granted.access_token(), granted.access_token()
    assert accepted(revoke(ehr, first))
    assert active(granted, first, second, granted.refresh_token()) == [False, True, True]
    assert granted.userinfo(first).status == 401
    assert granted.userinfo(second).status == 200
    assert len(backstage.entries("issuer.token.revoked", client_id=ehr.client_id)) >= 1


def test_a_machines_token_can_be_revoked(backstage: Backstage):
    """A token of client credentials has no login behind it, and can be given up all the same."""
    machine = backstage.client()
    token = machine.token().json["access_token"]
    assert introspect(machine, token).json["active"]
    assert accepted(revoke(machine, token))
    assert introspect(machine, token).json == {"active": False}


def test_twice_is_as_good_as_once(backstage: Backstage, ehr: SwiftEhr, granted: Granted):
    """The second time changes nothing and leaves no second entry."""
    token = granted.access_token()
    for _ in range(2):
        assert accepted(revoke(ehr, token))
    for _ in range(2):
        assert accepted(revoke(ehr, granted.refresh_token()))
    assert len(backstage.entries("issuer.token.revoked", family=granted.authorized.family)) == 1


def test_what_is_no_token_needs_no_revoking(backstage: Backstage, ehr: SwiftEhr, granted: Granted):
    """RFC 7009 §2.2: 200 for unknown, expired and broken tokens; an ID token is none of either kind."""
    alive = granted.access_token()
    for text in (
        "nonsense",
        "a.1.b",
        granted.access_token(now=backstage.service.now() - 601),
        granted.access_token()[:-1],
        granted.refresh_token() + "A",
        granted.refresh_token()[:-1],
        granted.id_token(),
        "x" * 20_000,
    ):
        assert accepted(revoke(ehr, text))
    assert active(granted, alive, granted.refresh_token()) == [True, True]


def test_another_clients_token_stays_as_it_is(backstage: Backstage, granted: Granted):
    """RFC 7009 §2.1: refused with an error, whoever asks, also the API it is for; nothing is done."""
    tokens = [granted.access_token(), granted.refresh_token()]
    for stranger in (login_client(backstage), backstage.client(audiences=["nhn:phr"])):
        for token in tokens:
            answer = revoke(stranger, token)
            assert (answer.status, answer.error) == (400, "invalid_grant")
    assert active(granted, *tokens) == [True, True]
    assert backstage.entries("issuer.token.revoked", family=granted.authorized.family) == []


def test_a_hint_is_only_a_hint(ehr: SwiftEhr, backstage: Backstage):
    """A wrong or unknown ``token_type_hint`` does not save a token (RFC 7009 §2.2.1)."""
    for hint in ("access_token", "refresh_token", "urn:example:unknown"):
        granted = grant(backstage, ehr)
        access, refresh = granted.access_token(), granted.refresh_token()
        assert accepted(revoke(ehr, access, token_type_hint=hint))
        assert active(granted, access, refresh) == [False, True]
        assert accepted(revoke(ehr, refresh, token_type_hint=hint))
        assert active(granted, refresh) == [False]


def test_a_used_up_refresh_token_still_revokes(ehr: SwiftEhr, granted: Granted):
    """A client that lost count of its rotation can end its login with an older token."""
    old = granted.refresh_token(1)
    granted.change(generation=4)
    assert accepted(revoke(ehr, old))
    assert active(granted, granted.refresh_token(4), granted.refresh_token(5)) == [False, False]


def test_a_request_without_a_token_is_malformed(ehr: SwiftEhr):
    """RFC 7009 §2.1: the parameter is required."""
    answer = revoke(ehr, "x", token=...)
    assert (answer.status, answer.error) == (400, "invalid_request")


def test_who_does_not_authenticate_revokes_nothing(ehr: SwiftEhr, granted: Granted):
    """No assertion, another key's, or one that was used: 401, and the token lives."""
    token, used = granted.access_token(), ehr.assertion()
    assert accepted(revoke(ehr, "nonsense", client_assertion=used))
    for fields in ({"client_assertion": used}, {"client_assertion": ...}, {"client_assertion": token}):
        answer = revoke(ehr, token, **fields)
        assert (answer.status, answer.error) == (401, "invalid_client")
    assert active(granted, token) == [True]


@pytest.mark.parametrize("path", ["/connect/revocation", "/connect/introspect"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
def test_only_by_post(path: str, method: str, service: Service):
    """RFC 7009 §2.1, RFC 7662 §2.1: a form by POST."""
    status, headers, _ = http(method, service.issuer + path)
    assert (status, headers["Allow"]) == (405, "POST")
