"""D3: a proof is for the address we were configured with; only what RFC 3986 calls the same is the same."""

from collections.abc import Callable
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, SwiftEhr
from support.intakes import PROOF, claims, header, present, proper_refusal, refuses_all
from support.tokens import compact

Respell = Callable[[str], Any]
ACCEPTED: dict[str, Respell] = {
    "as it is": lambda url: url,
    "query": lambda url: f"{url}?a=b",
    "empty query": lambda url: f"{url}?",
    "fragment": lambda url: f"{url}#x",
    "query and fragment": lambda url: f"{url}?a=b#x",
    "scheme in capitals": lambda url: url.replace("http://", "HTTP://"),
}
REFUSED: dict[str, Respell] = {
    "https": lambda url: url.replace("http://", "https://"),
    "other port": lambda url: url.replace("/connect", "0/connect"),
    "no port": lambda url: url.replace(url.split("/")[2], "127.0.0.1"),
    "port with zero": lambda url: url.replace("127.0.0.1:", "127.0.0.1:0"),
    "empty port": lambda url: url.replace(url.split("/")[2], "127.0.0.1:"),
    "other host": lambda url: url.replace("127.0.0.1", "127.0.0.2"),
    "name for the address": lambda url: url.replace("127.0.0.1", "localhost"),
    "address in hexadecimal": lambda url: url.replace("127.0.0.1", "0x7f.1"),
    "host with dot": lambda url: url.replace("127.0.0.1", "127.0.0.1."),
    "user info": lambda url: url.replace("//", "//user@"),
    "user info with our host": lambda url: url.replace("//", "//127.0.0.1@"),
    "percent letter": lambda url: url.replace("token", "%74oken"),
    "percent dot": lambda url: url.replace("connect", "%2e/connect"),
    "dot segment": lambda url: url.replace("connect", "x/../connect"),
    "double slash": lambda url: url.replace("/connect", "//connect"),
    "final slash": lambda url: f"{url}/",
    "path in capitals": lambda url: url.replace("token", "TOKEN"),
    "other path": lambda url: url.replace("token", "par"),
    "path parameter": lambda url: f"{url};x",
    "only the origin": lambda url: url.rpartition("/connect")[0],
    "only the path": lambda _: "/connect/token",
    "no scheme": lambda url: url.removeprefix("http:"),
    "backslash": lambda url: url.replace("/connect", "\\connect"),
    "blank": lambda url: f"{url} ",
    "tab": lambda url: f"{url}\t",
    "full-width": lambda url: url.replace("token", "\uff54oken"),
    "number": lambda _: 1,
    "array": lambda url: [url],
    "3,000 characters": lambda url: f"{url}?{'x' * 3000}",
}


def proof(ehr: SwiftEhr, htu: Any) -> str:
    return compact(header(PROOF, ehr), claims(PROOF, ehr, htu=htu), ehr.dpop_key)


@pytest.mark.parametrize("name", ACCEPTED)
def test_d3_spellings_of_our_own_address_are_accepted(name: str, attacker: SwiftEhr):
    """Query, fragment and the case of the scheme make no other address."""
    assert present(attacker, PROOF, proof(attacker, ACCEPTED[name](attacker.endpoint))).status == 200


def test_d3_every_other_address_is_refused(attacker: SwiftEhr):
    """What only looks like our address, or once led to it, is another one."""
    tokens = {name: proof(attacker, respell(attacker.endpoint)) for name, respell in REFUSED.items()}
    assert refuses_all(attacker, PROOF, tokens) == {}


SPOOFED = (
    {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    {"Forwarded": "host=evil.example;proto=https"},
    {"X-Forwarded-Prefix": "/evil", "X-Original-URL": "/evil", "X-Rewrite-URL": "/evil"},
    {"Host": "evil.example"},
)


@pytest.mark.parametrize("headers", SPOOFED, ids=lambda headers: next(iter(headers)))
def test_d3_no_header_of_the_request_changes_our_address(headers: dict[str, str], attacker: SwiftEhr):
    """A proof for the address that a header claims is refused; one for the configured address is accepted."""
    form = attacker.form(attacker.assertion(), scope=SELF_SERVICE)
    for foreign in ("http://evil.example/connect/token", "https://evil.example/connect/token"):
        answer = attacker.send(form, proof(attacker, foreign), headers=headers)
        assert proper_refusal(PROOF, answer) is None
    assert attacker.send(form, attacker.proof(), headers=headers).status == 200
