"""P4: a browser is sent back to an address that the client has registered, to the letter, and nowhere else."""

import time
from urllib.parse import urlencode

import pytest

from support.login import CALLBACK, LoginEhr, Reception
from support.redirect_uris import ASTRAY
from support.visitor import Page, Returned, Visitor

LOOPBACK = "http://127.0.0.1/callback"


@pytest.fixture(scope="module")
def ehr(reception: Reception) -> LoginEhr:
    """A client with one redirect URI."""
    return reception.client()


@pytest.fixture(scope="module")
def old(reception: Reception) -> LoginEhr:
    """A client that may ask in the front channel, with the same redirect URI."""
    return reception.client(profile="legacy")


def front_channel(ehr: LoginEhr, **fields: object) -> Page | Returned:
    query = urlencode({"client_id": ehr.client_id, **ehr.parameters(**fields)})
    return Visitor(ehr.service).open(f"{ehr.service.issuer}/connect/authorize?{query}")


@pytest.mark.parametrize("uri", ASTRAY)
def test_p4_what_is_only_near_is_refused(uri: str, ehr: LoginEhr, old: LoginEhr):
    """At the push it is ``invalid_request``, signed or not; in the front channel a page, with no redirect."""
    for answer in (ehr.push(redirect_uri=uri), ehr.push_signed(redirect_uri=uri)):
        assert (answer.status, answer.error) == (400, "invalid_request"), answer.body
        assert not uri or uri not in answer.description
    page = front_channel(old, redirect_uri=uri)
    assert isinstance(page, Page)
    assert (page.status, page.error) == (400, "invalid_request")


def test_p4_control_characters_do_not_get_that_far(ehr: LoginEhr, old: LoginEhr):
    """Tab, line break and direction marks are refused before anything is compared."""
    for char in "\t\r\n\0\u202e\u200b":
        answer = ehr.push(redirect_uri=f"https://ehr.example/{char}callback")
        assert (answer.status, answer.error) == (400, "invalid_request")
        page = front_channel(old, redirect_uri=CALLBACK + char)
        assert isinstance(page, Page)
        assert (page.status, page.error) == (400, "invalid_request")


def test_p4_none_at_all_is_refused_though_only_one_is_registered(ehr: LoginEhr, old: LoginEhr):
    """It is never guessed: the request names it, inside what was signed."""
    assert ehr.push(redirect_uri=...).error == "invalid_request"
    assert ehr.push_signed(redirect_uri=...).error == "invalid_request"
    for odd in (7, None, [CALLBACK], {"uri": CALLBACK}):
        assert ehr.push_signed(redirect_uri=odd).error == "invalid_request"
    beside = ehr.signed_form(ehr.request_object(redirect_uri=...), redirect_uri=CALLBACK)
    assert ehr.send(beside, None, url=ehr.par).error == "invalid_request"
    page = front_channel(old, redirect_uri=...)
    assert isinstance(page, Page)
    assert page.status == 400


def test_p4_a_long_bait_costs_no_time(ehr: LoginEhr, reception: Reception):
    """Tens of kilobytes made to slow a pattern down are refused at once; a megabyte is not even read."""
    native = reception.client(native=True, redirect_uris=[LOOPBACK])
    baits = ("http://127.0.0.1" + ":1" * 15_000, LOOPBACK + "/." * 15_000, "https://" + "a.-" * 15_000)
    for bait in baits:
        begun = time.monotonic()
        answer = native.push(redirect_uri=bait)
        assert (answer.status, answer.error) == (400, "invalid_request")
        assert time.monotonic() - begun < 1
    assert ehr.push(redirect_uri=CALLBACK + "/" * 1_000_000).status == 413


def test_p4_a_native_client_chooses_its_port_and_nothing_else(reception: Reception):
    """On loopback the port is free for a client that is registered as native, and for no other."""
    native = reception.client(native=True, redirect_uris=[LOOPBACK])
    web = reception.client(redirect_uris=[LOOPBACK])
    other_port = "http://127.0.0.1:51004/callback"
    assert native.push(redirect_uri=other_port).status == 201
    assert web.push(redirect_uri=LOOPBACK).status == 201
    assert web.push(redirect_uri=other_port).error == "invalid_request"
    for uri in (
        "http://127.0.0.1:51004/other",
        "http://127.0.0.2:51004/callback",
        "http://localhost:51004/callback",
        "http://127.0.0.1:51004@evil.example/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:99999/callback",
        "https://127.0.0.1:51004/callback",
    ):
        assert native.push(redirect_uri=uri).error == "invalid_request", uri


def test_p4_the_query_of_a_registered_uri_is_part_of_it_and_is_kept(reception: Reception):
    """A registered query must be there, exactly, and is still there when the browser comes back."""
    registered = "https://ehr.example/callback?dummy1=lorem&dummy2=ipsum"
    ehr = reception.client(redirect_uris=[registered])
    for near in (CALLBACK, registered + "&x=1", "https://ehr.example/callback?dummy2=ipsum&dummy1=lorem"):
        assert ehr.push(redirect_uri=near).error == "invalid_request"
    ehr.redirect_uri = registered
    back = reception.log_in(ehr, ehr.request_uri())
    assert back.redirect_uri == registered
