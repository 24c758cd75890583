"""S6, S7, U3: while the store is away nothing is pushed, opened or granted, and afterwards all goes on."""

from collections.abc import Iterator

import pytest

from support.backstage import Backstage, eventually
from support.login import Reception
from support.relying_party import RelyingParty, authorize_url
from support.service import Service
from support.store_faults import FAULTS
from support.visitor import Page, Visitor


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelyingParty]:
    """A client of a service whose store may be taken away."""
    with Service(tmp_path_factory.mktemp("mortal") / "data", patience=None) as running:
        opened = Backstage(running)
        ehr = RelyingParty.of(Reception(opened).client())
        opened.close()
        yield ehr


@pytest.mark.xdist_group("store away at login")
@pytest.mark.parametrize("fault", FAULTS)
def test_s6_s7_u3_a_login_waits_for_the_store(fault: str, ehr: RelyingParty):
    """Pushing is 503 in JSON, opening and finishing 503 on a page; what was begun can be finished afterwards."""
    visitor = Visitor(ehr.service)
    url = authorize_url(ehr, ehr.request_uri())
    begun = visitor.open(url)
    assert isinstance(begun, Page)
    form = ehr.pushed_form()
    with FAULTS[fault](ehr.service):
        answer = ehr.send(form, None, url=ehr.par)
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
        opened = Visitor(ehr.service).open(url)
        assert isinstance(opened, Page)
        assert (opened.status, opened.error) == (503, "temporarily_unavailable")
        assert "Retry-After" in opened.headers
        finished = visitor.submit(begun, "other", number="14857527039", level="level4")
        assert isinstance(finished, Page), finished
        assert finished.status == 503
    assert eventually(lambda: ehr.push().status == 201)
    back = Visitor(ehr.service).log_in(url)
    assert ehr.redeem(back.code).status == 200
