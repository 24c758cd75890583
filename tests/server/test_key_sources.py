"""A document source that names itself is known to have the keys; the key set is the same, and as fast, for all."""

import sqlite3
import time
from pathlib import Path

from support.backstage import Backstage, eventually
from support.service import Service, http
from tillit.protocol.metadata import JWKS_PATH, SOURCE_HEADER
from tillit.verifier import Verifier

PHR = "nhn:phr"
MINUTE = 61


def fetch(service: Service, name: str | None = None) -> tuple[int, bytes, dict[str, str]]:
    """Fetch the key set as a source of that name."""
    headers = {} if name is None else {SOURCE_HEADER: name}
    status, got, body = http("GET", service.issuer + JWKS_PATH, headers=headers)
    return status, body, {key.lower(): value for key, value in got.items() if key.lower() != "date"}


def test_the_verifier_says_who_it_is_and_the_operator_sees_it(tmp_path: Path):
    """Within a minute, and after a crash; of strangers there is a number, and nowhere their text."""
    with Service(tmp_path / "service") as running:
        backstage = Backstage(running)
        Verifier(running.issuer, PHR).ping()
        assert fetch(running, "canary-of-nobody")[0] == 200
        running.set_clock(offset=MINUTE)
        read = backstage.services.key_sources.read
        assert eventually(lambda: read().sources and read().unknown, seconds=20)
        running.kill()
        (source,) = read().sources
        assert source.name == PHR
        assert set(source.keys) == {entry.kid for entry in backstage.services.signer.ring().entries}
        backstage.close()
        database = b"".join(path.read_bytes() for path in running.data.glob("tillit.sqlite*"))
        assert b"canary" not in database + running.log().encode()


def test_everybody_gets_the_same_key_set(service: Service):
    """Named or not, registered or not, hostile or not: one body, one set of headers, no Vary, cacheable."""
    plain = fetch(service)
    assert plain[2]["cache-control"] == "public, max-age=600"
    assert "vary" not in plain[2]
    for name in (PHR, "nobody", "", "x" * 4000, "\u00e6\u00f8", "a, b", "../../etc"):
        assert fetch(service, name) == plain


def test_the_key_set_is_served_while_the_store_is_away(service: Service):
    """A source that names itself gets its answer at once, and nothing is written for it."""
    lock = sqlite3.connect(service.data / "tillit.sqlite", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        begun = time.monotonic()
        assert {fetch(service, PHR)[0] for _ in range(20)} == {200}
        assert time.monotonic() - begun < 8
    finally:
        lock.execute("ROLLBACK")
        lock.close()
