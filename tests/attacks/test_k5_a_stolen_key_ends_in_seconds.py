"""K5, G10: `keys revoke KID --now` while clients ask on every worker: no signature by it after two seconds."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.granted import introspect
from support.service import Service, http_json
from tillit.protocol.gate import read_jws

JWKS = "/.well-known/openid-configuration/jwks"
ARCHIVE = "/connect/expiredjwks"
LIMIT = 2.0


def kid_of(token: str) -> str:
    """The key that a token names."""
    return str(read_jws(token, max_bytes=24_576).header["kid"])


class Watch:
    """Asks for tokens and for the key set, over and over, and remembers when which key was seen."""

    def __init__(self, service: Service, ehr: SwiftEhr, api: SwiftEhr, token: str) -> None:
        self.service = service
        self.ehr = ehr
        self.api = api
        self.token = token
        self.held: list[tuple[float, bool]] = []
        self.signed: list[tuple[float, str]] = []
        self.published: list[tuple[float, set[str]]] = []
        self.failed: list[Any] = []
        self.over = threading.Event()

    def tokens(self) -> None:
        """A client that wants tokens."""
        while not self.over.is_set():
            began = time.monotonic()
            answer = self.ehr.token(details=None, scope=SELF_SERVICE)
            if answer.status == 200:
                self.signed.append((began, kid_of(answer.json["access_token"])))
            else:
                self.failed.append(answer.body)

    def keys(self) -> None:
        """A verifier that fetches the key set, from whichever worker answers."""
        while not self.over.is_set():
            began = time.monotonic()
            keys = http_json("GET", self.service.issuer + JWKS)[2]["keys"]
            self.published.append((began, {key["kid"] for key in keys}))
            self.over.wait(0.02)

    def introspections(self) -> None:
        """An API that asks about one token of the stolen key, from whichever worker answers."""
        while not self.over.is_set():
            began = time.monotonic()
            self.held.append((began, introspect(self.api, self.token).json["active"]))
            self.over.wait(0.02)


@pytest.fixture(scope="module")
def robbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose key may be stolen."""
    with Service(tmp_path_factory.mktemp("service")) as running:
        yield running


def test_k5_a_revoked_key_signs_no_more_and_its_tokens_are_dead(robbed: Service):
    """Last signature, publication and good word at introspection within 2 s on two workers; the standby signs."""
    service = robbed
    backstage = Backstage(service)
    ehr = backstage.client()
    stolen_token = ehr.token(details=None, scope=SELF_SERVICE).json["access_token"]
    stolen = kid_of(stolen_token)
    api = backstage.client(audiences=["nhn:selvbetjening"])
    watch = Watch(service, ehr, api, stolen_token)
    work = (watch.tokens, watch.tokens, watch.keys, watch.introspections)
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    command = ("keys", "revoke", stolen, "--now", "--yes", "--operator", "kari", "--reason", "stolen")
    done = service.cli(*command, "--data", str(service.data), "--output", "json")
    ended = time.monotonic()
    time.sleep(LIMIT + 1)
    watch.over.set()
    for thread in threads:
        thread.join(20)
    late = [at - ended for at, kid in watch.signed if kid == stolen and at > ended + LIMIT]
    assert late == []
    assert [at - ended for at, kids in watch.published if stolen in kids and at > ended + LIMIT] == []
    assert watch.held[0][1]
    assert [at - ended for at, active in watch.held if active and at > ended + LIMIT] == []
    assert not watch.held[-1][1]
    told = json.loads(done.stdout)
    standby = next(step["kid"] for step in told["steps"] if step["event"] == "signing.key.rotated")
    assert {kid for at, kid in watch.signed if at > ended + LIMIT} == {standby}
    assert not watch.failed
    assert {entry["kid"] for entry in told["signed"]} == {stolen}
    claims = base64.urlsafe_b64decode(stolen_token.split(".")[1] + "==")
    assert json.loads(claims)["jti"] in {entry["jti"] for entry in told["signed"]}

    archived = http_json("GET", service.issuer + ARCHIVE)[2]["keys"]
    assert [(key["kid"], key["archive"]) for key in archived] == [(stolen, True)]
    assert backstage.services.signer.sign("at+jwt", {}, "ES256")[1] == standby
    (entry,) = backstage.entries("signing.key.revoked")
    assert (entry.public["operator"], entry.public["kid"], entry.public["alarm"]) == ("kari", stolen, True)
    # The same, as the audit tells it: every token has its entry there, with the key and the time.
    issued = backstage.entries("issuer.token.issued", kid=stolen)
    assert issued
    assert max(token.at for token in issued) <= entry.at + LIMIT
    backstage.close()
