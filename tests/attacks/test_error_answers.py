"""Errors say what went wrong to those who may know, in the form of the standards, and nothing else."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from support.backstage import SELF_SERVICE, SwiftEhr, eventually
from support.ehr import Answer, attestation
from support.intakes import INVALID_CLIENT, PROOF, claims, header, well_formed
from support.service import Service
from support.tokens import compact
from support.wire import FORM, exchange, post

Send = Callable[[SwiftEhr], Answer]


def with_form(**fields: Any) -> Send:
    return lambda ehr: ehr.send(ehr.form(ehr.assertion(), **fields), ehr.proof())


def with_proof(**changes: Any) -> Send:
    return lambda ehr: ehr.send(
        ehr.form(), compact(header(PROOF, ehr), claims(PROOF, ehr, **changes), ehr.dpop_key)
    )


ERRORS: dict[str, tuple[int, str, Send]] = {
    "no grant": (400, "invalid_request", with_form(grant_type=...)),
    "unknown grant": (400, "unsupported_grant_type", with_form(grant_type="urn:x")),
    "client": (401, "invalid_client", lambda ehr: ehr.send(ehr.form("x"), ehr.proof())),
    "no assertion": (401, "invalid_client", with_form(client_assertion=...)),
    "proof": (400, "invalid_dpop_proof", with_proof(htm="GET")),
    "odd characters in a proof": (400, "invalid_dpop_proof", with_proof(htm='"\\\u00e5\n')),
    "no proof": (400, "invalid_dpop_proof", lambda ehr: ehr.send(ehr.form(), None)),
    "scope": (400, "invalid_scope", with_form(scope='"\\\u00e5')),
    "target": (400, "invalid_target", with_form(resource='"\\\u00e5', scope=SELF_SERVICE)),
    "attestation": (400, "invalid_authorization_details", lambda ehr: ehr.token(attestation(patients=1))),
    "odd member": (
        400,
        "invalid_authorization_details",
        lambda ehr: ehr.token(attestation(**{'"\\\u00e5\n': 1})),
    ),
    "denied": (400, "access_denied", lambda ehr: ehr.token(None)),
    "form": (400, "invalid_request", lambda ehr: ehr.send(b"grant_type=%zz", None)),
    "twice": (400, "invalid_request", lambda ehr: ehr.send(b"grant_type=a&grant_type=b", None)),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_has_the_form_of_the_standard_and_an_id_that_the_log_knows(name: str, attacker: SwiftEhr):
    """Code, plain description, an id in header, body and log; never cached; no nonce; no more members."""
    status, code, send = ERRORS[name]
    answer = send(attacker)
    assert (answer.status, answer.error) == (status, code)
    assert well_formed(answer)
    assert answer.headers["Pragma"] == "no-cache"
    error_id = answer.headers["Error-Id"]
    if code == "invalid_client":
        assert answer.body == INVALID_CLIENT
    else:
        assert answer.json["error_id"] == error_id
    lines = eventually(
        lambda: [line for line in attacker.service.log().splitlines() if f'"error_id":"{error_id}"' in line]
    )
    assert len(lines) == 1
    assert f'"code":"{code}"' in lines[0]


METHODS = ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND")


@pytest.mark.parametrize("path", ["/connect/token", "/explain"])
def test_another_method_than_post_is_refused(path: str, attacker: SwiftEhr):
    """405 with `Allow: POST`, whatever the body."""
    for method in METHODS:
        answer = attacker.send(attacker.form("x"), None, url=attacker.service.issuer + path, method=method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST"), method
        assert answer.headers["Cache-Control"] == "no-store"


def test_what_is_published_is_only_read(attacker: SwiftEhr):
    """Metadata and keys answer GET and HEAD alone."""
    for path in ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"):
        for method in ("POST", "PUT", "DELETE"):
            answer = attacker.send(b"", None, url=attacker.service.issuer + path, method=method)
            assert answer.status == 405
            assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "application/x-www-form-urlencoded, application/json",
    ],
)
def test_another_body_than_a_form_is_refused(content_type: str, attacker: SwiftEhr):
    """415 for anything but a form in UTF-8, before anything of it is read."""
    body = urlencode(attacker.form(attacker.assertion(), scope=SELF_SERVICE)).encode()
    answer = post(attacker.service, body, [("DPoP", attacker.proof())], content_type=content_type)
    assert answer is not None
    assert (answer.status, answer.error) == (415, "invalid_request")
    assert well_formed(answer)


@pytest.mark.parametrize(
    "content_type", [FORM, f"{FORM};charset=UTF-8", FORM.upper(), f"{FORM} ; charset=utf-8"]
)
def test_a_form_in_utf8_is_accepted_however_it_is_announced(content_type: str, attacker: SwiftEhr):
    """Media types have no case, and the charset may be named."""
    body = urlencode(attacker.form(attacker.assertion(), scope=SELF_SERVICE)).encode()
    answer = post(attacker.service, body, [("DPoP", attacker.proof())], content_type=content_type)
    assert answer is not None
    assert answer.status == 200, answer.body


def test_a_compressed_or_chunked_body_is_refused(attacker: SwiftEhr):
    """What two servers could read differently, or what grows when it is read, is not read."""
    body = urlencode(attacker.form(attacker.assertion(), scope=SELF_SERVICE)).encode()
    answer = post(attacker.service, body, [("Content-Encoding", "gzip"), ("DPoP", attacker.proof())])
    assert answer is not None
    assert answer.status == 415
    head = f"POST /connect/token HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked = exchange(attacker.service, head.encode() + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
    assert chunked is not None
    assert (chunked.status, chunked.error) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        b"a=%",
        b"a=%4",
        b"a=%zz",
        b"a=\xc3\xa5",
        b"a=%ff",
        b"a=%00",
        b"a=%0d%0a",
        b"&".join([b"a%d=b" % n for n in range(51)]),
    ],
    ids=["percent", "one digit", "no digits", "octets", "not UTF-8", "NUL", "line break", "51 fields"],
)
def test_a_form_that_is_not_clear_is_refused_whole(body: bytes, attacker: SwiftEhr):
    """Broken escapes, other encodings, control characters, too many fields: 400, whatever else is in it."""
    good = urlencode(attacker.form(attacker.assertion(), scope=SELF_SERVICE)).encode()
    answer = attacker.send(good + b"&" + body, attacker.proof())
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert well_formed(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/connect",
        "/connect/token/",
        "/connect/token/x",
        "//connect/token",
        "/Connect/Token",
        "/connect/authorise",
        "/admin",
        "/console",
        "/../etc/passwd",
        "/.well-known/",
        "/debug",
    ],
)
def test_no_other_address_answers(path: str, service: Service):
    """What is not published does not exist, also where it resembles what does."""
    answer = post(service, b"grant_type=client_credentials", path=path)
    assert answer is not None
    assert (answer.status, answer.json["error"]) == (404, "invalid_request")
    assert b"grant_type" not in answer.body
