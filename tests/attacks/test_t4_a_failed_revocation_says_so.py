"""T4: a revocation that could not be written is a 503, never a 200, wherever the store gave up."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.backstage import Backstage, eventually
from support.granted import Granted, about, grant, introspect, login_client, revoke
from support.service import Service
from support.store_faults import FAULTS, NOTHING_WRITTEN, Failing
from tillit_server.issuer.request import Request
from tillit_server.issuer.revocation import revoke as revoke_here
from tillit_server.storage.ports import StorageUnavailable

KINDS = ("access token", "refresh token")
ONE_SERVICE = pytest.mark.xdist_group("store away at revocation")
MOST_CALLS = 20


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    """A service of this file's own, whose store is taken away and given back."""
    with Service(tmp_path_factory.mktemp("away") / "data", patience=None) as running:
        opened = Backstage(running)
        yield opened
        opened.close()


@pytest.fixture
def granted(behind: Backstage) -> Granted:
    """A login of a client that nobody else uses."""
    return grant(behind, login_client(behind))


def token_of(granted: Granted, kind: str) -> str:
    """A token of that kind."""
    return granted.access_token() if kind == "access token" else granted.refresh_token()


@ONE_SERVICE
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_t4_no_store_no_revocation(fault: str, kind: str, behind: Backstage, granted: Granted):
    """503 with Retry-After while the store is away, and the same request does it when it is back."""
    token, assertion = token_of(granted, kind), granted.ehr.assertion()
    with FAULTS[fault](behind.service):
        answer = revoke(granted.ehr, token, client_assertion=assertion)
    assert (answer.status, answer.error) == (503, "temporarily_unavailable")
    assert int(answer.headers["Retry-After"]) in range(1, 10)
    if fault in NOTHING_WRITTEN:
        assert eventually(lambda: introspect(granted.ehr, token).status == 200)
        assert introspect(granted.ehr, token).json["active"]
        assert revoke(granted.ehr, token, client_assertion=assertion).status == 200
    else:
        assert eventually(lambda: revoke(granted.ehr, token).status == 200)
    assert introspect(granted.ehr, token).json == {"active": False}


@ONE_SERVICE
@pytest.mark.parametrize("fault", FAULTS)
def test_t4_no_store_no_answer_about_a_token(fault: str, behind: Backstage, granted: Granted):
    """Introspection and userinfo fail closed: 503, neither active nor inactive, and no claims."""
    token = granted.access_token()
    with FAULTS[fault](behind.service):
        asked = introspect(granted.ehr, token)
        read = granted.userinfo(token)
    assert (asked.status, asked.error) == (503, "temporarily_unavailable")
    assert (read.status, read.error) == (503, "temporarily_unavailable")
    assert eventually(lambda: introspect(granted.ehr, token).status == 200)


@pytest.mark.parametrize("kind", KINDS)
def test_t4_whichever_call_of_the_store_fails(kind: str, behind: Backstage):
    """Each call that a revocation makes of the store is made to fail in turn: no 200, and the token lives on."""
    failed = 0
    for at in range(1, MOST_CALLS):
        granted = grant(behind, login_client(behind))
        token = token_of(granted, kind)
        store = Failing(behind.services.store, at)
        services = replace(behind.services, store=store)
        try:
            request = Request(services.url("/connect/revocation"), about(granted.ehr, token))
            assert revoke_here(request, services).status == 200
        except StorageUnavailable:
            failed += 1
            assert introspect(granted.ehr, token).json["active"]
            continue
        assert store.calls[0] < at  # every call of it has failed once
        assert introspect(granted.ehr, token).json == {"active": False}
        break
    assert failed >= 3
