"""P9: whatever comes back to a client names the issuer it comes from, so that two cannot be mixed up (RFC 9207)."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from support.backstage import Backstage
from support.login import LoginEhr, Reception
from support.relying_party import RelyingParty, authorize_url, log_in
from support.service import Service, http_json
from support.visitor import Page, Returned, Visitor
from tillit.protocol.authorization_response import check_authorization_response
from tillit.protocol.errors import OAuthError, Rejected


def metadata(service: Service) -> Mapping[str, object]:
    document: Mapping[str, object] = http_json("GET", service.issuer + "/.well-known/openid-configuration")[2]
    return document


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> RelyingParty:
    """A client whose users log in."""
    return RelyingParty.of(reception.client())


def test_p9_success_and_every_error_name_the_issuer_of_the_metadata(ehr: RelyingParty, reception: Reception):
    """Code, denial and ``login_required``, in the query or in a form: ``iss`` is the metadata's, to the byte."""
    issuer = metadata(ehr.service)["issuer"]
    assert metadata(ehr.service)["authorization_response_iss_parameter_supported"] is True
    for mode in ("query", "form_post"):
        for cancel in (False, True):
            back = ehr.log_in(cancel=cancel, response_mode=mode)
            assert back.parameters["iss"] == issuer
            assert ("error" in back.parameters) == cancel
        page = Visitor(ehr.service).open(
            authorize_url(ehr, ehr.request_uri(prompt="none", response_mode=mode))
        )
        back = Visitor(ehr.service).submit(page) if isinstance(page, Page) else page
        assert isinstance(back, Returned)
        assert (back.error, back.parameters["iss"]) == ("login_required", issuer)


def test_p9_errors_of_the_front_channel_name_it_too(reception: Reception):
    """Where an old client hears by redirect what was wrong, ``iss`` and ``state`` stand beside it."""
    old = reception.client(profile="legacy")
    state = secrets.token_urlsafe(100)
    for change, code in (
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "nobody/knows"}, "invalid_scope"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"prompt": "none"}, "login_required"),
    ):
        query = urlencode({"client_id": old.client_id, **old.parameters(state=state, **change)})
        back = Visitor(old.service).open(f"{old.service.issuer}/connect/authorize?{query}")
        assert isinstance(back, Returned), code
        assert back.parameters["error"] == code
        assert (back.parameters["iss"], back.parameters["state"]) == (old.service.issuer, state)
        assert set(back.parameters) == {"error", "error_description", "iss", "state"}


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[Service, LoginEhr]]:
    """Another issuer, with a path, at which the same client is registered."""
    with Service(tmp_path / "other", path="/other") as running:
        opened = Backstage(running)
        yield running, Reception(opened).client()
        opened.close()


def test_p9_an_answer_of_another_issuer_is_not_believed(ehr: RelyingParty, other: tuple[Service, LoginEhr]):
    """A client that waits for one issuer refuses the other's code and the other's error alike."""
    service, theirs = other
    assert metadata(service)["issuer"] == service.issuer != ehr.service.issuer
    state = secrets.token_urlsafe(16)
    for cancel in (False, True):
        answer = log_in(service, theirs, state=state, cancel=cancel).parameters
        with pytest.raises(Rejected, match="issuer"):
            check_authorization_response(answer, issuer=ehr.service.issuer, state=state)
        if cancel:
            with pytest.raises(OAuthError):
                check_authorization_response(answer, issuer=service.issuer, state=state)
        else:
            assert check_authorization_response(answer, issuer=service.issuer, state=state) == answer["code"]
