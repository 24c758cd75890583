"""A client that asks for tokens by the hundred thousand, one request in ten hostile, and judges every answer.

It runs in a process of its own and costs little: it sends one request on each of its connections, signs the
next ones while those are judged, and then reads the answers.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import orjson

from support.backstage import SELF_SERVICE, SwiftEhr
from support.ehr import ATTESTATION
from support.service import PHR, http_json
from support.wire import Lane
from tillit.protocol.gate import read_jws
from tillit.protocol.jose import ALGORITHMS, generate_key, load_private_jwk, load_public_jwk, verify

LANES = 8
"""Connections of one sender, which stay open."""
HOSTILE_EVERY, ATTESTED_EVERY, VERIFIED_EVERY = 10, 11, 50
"""One in so many requests is hostile, one in so many carries an attestation; one in so many tokens is verified."""
REPORT = 500
STRANGER = generate_key("ES256")
BROKEN = "broken connections"
JWKS = "/.well-known/openid-configuration/jwks"


class Request(NamedTuple):
    """A form, a proof and the status that they must get; the assertion in it when that is good."""

    form: bytes
    proof: str | None
    due: int
    assertion: str | None = None
    scope: str = SELF_SERVICE


def encoded(ehr: SwiftEhr, assertion: str, **fields: str) -> bytes:
    return urlencode(ehr.form(assertion, **{"scope": SELF_SERVICE, **fields})).encode("ascii")


def good(ehr: SwiftEhr, *, attested: bool) -> Request:
    scope, details = (PHR, ATTESTATION) if attested else (SELF_SERVICE, None)
    assertion = ehr.assertion(details=details)
    return Request(encoded(ehr, assertion, scope=scope), ehr.proof(), 200, assertion, scope)


def bad(ehr: SwiftEhr, *, key: Any = None, fields: dict[str, str] | None = None, **claims: Any) -> Request:
    form = encoded(ehr, ehr.assertion(key=key, **claims), **(fields or {}))
    return Request(form, ehr.proof(), 401)


def asking(ehr: SwiftEhr, **fields: str) -> Request:
    return Request(encoded(ehr, ehr.assertion(), **fields), ehr.proof(), 400)


HOSTILE: dict[str, Callable[[SwiftEhr, Request], Request]] = {
    "replayed assertion": lambda ehr, used: Request(encoded(ehr, str(used.assertion)), ehr.proof(), 401),
    "replayed proof": lambda ehr, used: Request(encoded(ehr, ehr.assertion()), used.proof, 400),
    "replayed request": lambda _, used: used._replace(due=401, assertion=None),
    "bad signature": lambda ehr, _: bad(ehr, key=STRANGER),
    "expired": lambda ehr, _: bad(ehr, iat=1, nbf=1, exp=60),
    "wrong audience": lambda ehr, _: bad(ehr, aud="https://elsewhere.example"),
    "unknown client": lambda ehr, _: bad(ehr, iss="x", sub="x", fields={"client_id": "x"}),
    "no proof": lambda ehr, _: Request(encoded(ehr, ehr.assertion()), None, 400),
    "proof of long ago": lambda ehr, _: Request(encoded(ehr, ehr.assertion()), ehr.proof(iat=1), 400),
    "scope never granted": lambda ehr, _: asking(ehr, scope="openid"),
    "unknown grant": lambda ehr, _: asking(ehr, grant_type="x" * 999),
    "no form at all": lambda *_: Request(secrets.token_bytes(300), None, 400),
    "one byte repeated": lambda *_: Request(b"&" * 60_000, None, 400),
    "large value": lambda ehr, _: Request(encoded(ehr, "a" * 60_000), None, 401),
    "nested JSON": lambda ehr, _: Request(encoded(ehr, "[" * 20_000), None, 401),
}


@dataclass(frozen=True)
class Order:
    """Who shall ask whom, in a form that reaches another process; what a client knows of its service."""

    issuer: str
    clock_file: Path
    ports: tuple[int, ...]
    client_id: str
    key: dict[str, str] = field(repr=False)

    def now(self) -> float:
        """The service's time."""
        return time.time() + float(self.clock_file.read_text(encoding="ascii"))


class Host(NamedTuple):
    """Where to send."""

    issuer: str
    port: int
    address: str = "127.0.0.1"


class Sender:
    """One client with its connections to all hosts."""

    def __init__(self, order: Order) -> None:
        door: Any = order
        self._ehr = SwiftEhr(door, order.client_id, load_private_jwk(order.key, "ES256"))
        self._lanes = [
            Lane(Host(order.issuer, order.ports[number % len(order.ports)])) for number in range(LANES)
        ]
        published = http_json("GET", order.issuer + JWKS)[2]["keys"]
        self._keys = [load_public_jwk(jwk) for jwk in published if jwk["alg"] == "ES256"]
        self._requests = self._endless()
        self._used: Request | None = None
        self._tokens = 0

    def run(self, requests: int, enough: Callable[[], bool], tell: Callable[[Counter[str]], None]) -> None:
        """Send so many requests, or as many as there is time for; tell now and then what came back."""
        found = Counter[str]()
        batch = self._sign(requests)
        while batch and not enough():
            for lane, request in zip(self._lanes, batch, strict=False):
                lane.renew()
                lane.begin(request.form, request.proof)
            requests -= len(batch)
            following = self._sign(requests)
            for lane, request in zip(self._lanes, batch, strict=False):
                found[self._outcome(lane, request)] += 1
            batch = following
            if found.total() >= REPORT:
                tell(found)
                found = Counter[str]()
        tell(found)
        for lane in self._lanes:
            lane.close()

    def _sign(self, at_most: int) -> list[Request]:
        return [next(self._requests) for _ in range(min(len(self._lanes), at_most))]

    def _endless(self) -> Iterator[Request]:
        kinds = list(HOSTILE.values())
        for number in count(1):
            if number % HOSTILE_EVERY == 0 and self._used is not None:
                yield kinds[number // HOSTILE_EVERY % len(kinds)](self._ehr, self._used)
            else:
                yield good(self._ehr, attested=number % ATTESTED_EVERY == 0)

    def _outcome(self, lane: Lane, request: Request) -> str:
        """``good``, ``hostile``, or what was wrong."""
        try:
            answer = lane.answer()
        except OSError:
            lane.reopen()
            return BROKEN
        status, body = answer.status, answer.body
        if status != request.due:
            # Without the error's id, of which each has its own.
            return f"{status} for {request.due}: {body[:60]!r}"
        if status != 200:
            return "hostile" if b'"error"' in body else f"no error in {body[:200]!r}"
        self._used = request
        self._tokens += 1
        if self._tokens % VERIFIED_EVERY:
            return "good" if b'"access_token"' in body else f"no token in {body[:200]!r}"
        return "good" if self._is_ours(orjson.loads(body)["access_token"], request) else "a wrong token"

    def _is_ours(self, token: str, request: Request) -> bool:
        jws = read_jws(token)
        verify(jws, self._keys, algorithms=ALGORITHMS)
        found, ehr = jws.claims, self._ehr
        said = (found["iss"], found["client_id"], found["cnf"], found["scope"])
        return said == (
            ehr.service.issuer,
            ehr.client_id,
            {"jkt": ehr.dpop_key.public.thumbprint},
            [request.scope],
        )
