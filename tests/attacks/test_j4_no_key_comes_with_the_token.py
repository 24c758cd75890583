"""J4: a key, or the address of one, in the header is refused, and nobody is asked for it."""

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from support.backstage import SwiftEhr
from support.intakes import INTAKES, PROOF, claims, header, refuses_all
from support.tokens import compact, key_for

ATTACKER = key_for("ES256", 4)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port where a fetch of the attacker's keys would be seen."""
    with closing(socket.create_server(("127.0.0.1", 0))) as opened:
        opened.setblocking(False)
        yield opened


@pytest.mark.parametrize("intake", INTAKES)
def test_j4_keys_in_the_header_are_refused_and_never_fetched(
    intake: str, attacker: SwiftEhr, listener: socket.socket
):
    """`jwk`, `jku`, `x5u` and `x5c` of an attacker are refused, and no connection leaves the service."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/jwks"
    members = {"jwk": ATTACKER.public.bare_jwk, "jku": url, "x5u": url, "x5c": ["MIIB"]}
    if intake == PROOF:
        del members["jwk"]  # the one place where a key belongs: it proves possession of itself
    tokens = {}
    for name, value in members.items():
        for kid in ("own", "unknown"):
            changes = {name: value} if kid == "own" or intake == PROOF else {name: value, "kid": "unknown"}
            head = header(intake, attacker, ATTACKER if intake == PROOF else None, **changes)
            tokens[name, kid] = compact(head, claims(intake, attacker), ATTACKER)
    assert refuses_all(attacker, intake, tokens) == {}
    with pytest.raises(BlockingIOError):
        listener.accept()
