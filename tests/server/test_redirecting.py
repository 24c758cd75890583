"""Which redirect URIs can be registered, and which one a request may name."""

from dataclasses import replace
from typing import Any

import pytest

from tillit.protocol.jose import generate_key
from tillit_server.issuer.apis import Api, ApiRegistry
from tillit_server.issuer.clients.client import Client, check_installed, client_from
from tillit_server.issuer.clients.redirecting import fault_of, may_return_to
from tillit_server.issuer.clients.rules import ClientError

APIS = ApiRegistry((Api("ward", ("ward/list",)),))
KEY = generate_key("ES256").public.jwk


def client(*uris: str, **members: Any) -> Client:
    return client_from(
        {
            "id": "ehr",
            "keys": [KEY],
            "legal_entities": ["310000019"],
            "scopes": [],
            "grants": ["authorization_code"],
            "redirect_uris": uris,
            **members,
        }
    )


@pytest.mark.parametrize(
    "uri",
    [
        "https://ehr.example",
        "https://ehr.example/",
        "https://ehr.example/callback?tenant=1&b=%C3%A5",
        "https://ehr.example:8443/a/b.c/..d",
        "https://localhost.emobix.co.uk:8443/test/a/tillit/callback?dummy1=lorem&dummy2=ipsum",
        "https://xn--snmann-fxa.example/cb",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:3000/callback",
        "http://[::1]:3000/callback",
        "http://localhost:44123",
    ],
)
def test_a_sound_uri_can_be_registered(uri: str):
    """Https with any path and query, and http on loopback, are taken."""
    assert fault_of(uri) is None
    assert may_return_to(client(uri), uri)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "/callback",
        "http://ehr.example/callback",
        "HTTPS://ehr.example/",
        "https://Ehr.example/",
        "https://",
        "https:///callback",
        "https://ehr.example/#",
        "https://ehr.example/#part",
        "https://*.example/callback",
        "https://ehr.example/*",
        "https://user@ehr.example/",
        "https://user:secret@ehr.example/",
        "https://ehr.example/../callback",
        "https://ehr.example/a/./b",
        "https://ehr.example/%2E%2e/callback",
        "https://ehr.example\\callback",
        "https://ehr.example/call back",
        "https://ehr.example/%zz",
        "https://ehr.example/\u202e",
        "https://ehr.example/\n",
        "https://søm.example/",
        "https://ehr.example:0/",
        "https://ehr.example:123456/",
        "http://127.0.0.2/callback",
        "http://127.0.0.1.example/callback",
        "http://localhost.example/callback",
        "javascript:alert(1)",
        "data:text/html,x",
        "no.example.ehr:/callback",
        "https://ehr.example/" + "a" * 2048,
        None,
        7,
    ],
)
def test_any_other_uri_is_refused_by_name(uri: Any):
    """A registration names the member and the place of the URI that is not good, and never repeats it."""
    with pytest.raises(ClientError, match=r"^redirect_uris\[1\]: ") as caught:
        client("https://ehr.example/callback", uri)
    assert len(str(caught.value)) < 120
    with pytest.raises(ClientError, match=r"^post_logout_redirect_uris\[0\]: "):
        client("https://ehr.example/callback", post_logout_redirect_uris=[uri])


def test_loopback_is_for_native_clients_and_development():
    """Outside development mode http is registered for native clients only."""
    web, native = client("http://127.0.0.1/callback"), client("http://127.0.0.1/callback", native=True)
    for registered, dev in ((web, True), (native, True), (native, False)):
        check_installed(registered, APIS, {"ES256": None}, dev=dev)
    with pytest.raises(ClientError, match=r"^redirect_uris: loopback"):
        check_installed(web, APIS, {"ES256": None}, dev=False)


def test_the_oldest_profile_is_for_development():
    """What forgives tokens without a proof and requests without a push never gets into production."""
    oldest = client("https://ehr.example/callback", profile="legacy")
    check_installed(oldest, APIS, {"ES256": None}, dev=True)
    with pytest.raises(ClientError, match=r"^profile: legacy is for development mode"):
        check_installed(oldest, APIS, {"ES256": None}, dev=False)
    check_installed(
        client("https://ehr.example/callback", profile="helseid"), APIS, {"ES256": None}, dev=False
    )


def test_a_client_who_logs_people_in_has_a_way_back_and_a_key_that_signs():
    """Without a redirect URI, or with an ID token algorithm that is not enabled, there is no registration."""
    with pytest.raises(ClientError, match=r"^redirect_uris: one or more"):
        client()
    with pytest.raises(ClientError, match=r"^id_token_signed_response_alg"):
        check_installed(client("https://ehr.example/"), APIS, {"PS256": None}, dev=False)
    wanting = client("https://ehr.example/", id_token_signed_response_alg="PS256")
    check_installed(wanting, APIS, {"PS256": None}, dev=False)
    with pytest.raises(ClientError, match="PS256 is announced and signs from 2026-01-15T08:30:00Z"):
        check_installed(wanting, APIS, {"PS256": 1768465800}, dev=False)
    machine = client(grants=["client_credentials"])
    check_installed(machine, APIS, {"PS256": None}, dev=False)


@pytest.mark.parametrize("value", [0, -1, True, "3600", 31_536_001, 1.5])
def test_the_life_of_refresh_tokens_is_a_number_of_seconds(value: Any):
    """Anything else is refused with the member's name."""
    with pytest.raises(ClientError, match=r"^refresh_token_lifetime"):
        client("https://ehr.example/", refresh_token_lifetime=value)


@pytest.mark.parametrize(
    ("registered", "asked", "allowed"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback", True),
        ("http://127.0.0.1:80/callback", "http://127.0.0.1:51004/callback", True),
        ("http://127.0.0.1/callback", "http://127.0.0.1/callback", True),
        ("http://[::1]/callback", "http://[::1]:51004/callback", True),
        ("http://127.0.0.1/callback?a=b", "http://127.0.0.1:51004/callback?a=b", True),
        ("http://127.0.0.1/callback", "http://localhost:51004/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback/", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:51004/callback?a=b", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:51004@evil.example/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:0/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:65536/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1:051004/callback", False),
        ("http://127.0.0.1/callback", "https://127.0.0.1:51004/callback", False),
        ("https://ehr.example/callback", "https://ehr.example:8443/callback", False),
    ],
)
def test_the_port_alone_is_free_for_a_native_client(registered: str, asked: str, allowed: bool):
    """On loopback any port will do for a native client; everything else is compared to the letter."""
    native = client(registered, native=True)
    assert may_return_to(native, asked) is allowed
    assert may_return_to(replace(native, native=False), asked) is (asked == registered)
