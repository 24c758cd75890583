"""Clients that go on asking while something breaks, and the ledger of what they were told."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from support.backstage import SELF_SERVICE, Backstage, SwiftEhr
from support.wire import FORM
from tillit.protocol.gate import read_jws
from tillit_server.audit.chain import chain_secret, verify
from tillit_server.audit.checkpoints import known_heads

REMEMBERED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Told:
    """One request and what came back: a status, or 0 when the connection broke. Times are monotonic seconds."""

    form: bytes
    assertion_jti: str
    status: int
    token_jti: str | None
    began: float
    ended: float
    said: bytes


class Ledger:
    """What the clients of one service were told, in the order in which it ended."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    @property
    def counts(self) -> Counter[int]:
        """How many answers there were of each status; 0 stands for a broken connection."""
        return Counter(told.status for told in self.told)

    @property
    def tokens(self) -> set[str]:
        """The ids of the tokens that clients hold."""
        return {told.token_jti for told in self.told if told.token_jti}

    def since(self, instant: float) -> list[Told]:
        """What began after an instant of the monotonic clock."""
        return [told for told in self.told if told.began >= instant]


def ask(ehr: SwiftEhr, connection: http.client.HTTPConnection, *, repeat: bool = False) -> Told:
    """Ask for a token over a connection, with a fresh assertion and a fresh proof.

    With ``repeat``, a connection that was used before and is found closed, without an answer begun, is opened
    again and the very same request sent once more, as HTTP clients do (RFC 9112 section 9.3.1): had it been
    judged after all, its ids would be spent, and the repetition refused.
    """
    assertion = ehr.assertion()
    jti = str(read_jws(assertion, max_bytes=24_576).claims["jti"])
    body = urlencode(ehr.form(assertion, scope=SELF_SERVICE)).encode("ascii")
    headers = {"Content-Type": FORM, "DPoP": ehr.proof()}
    began = time.monotonic()
    repeat = repeat and connection.sock is not None
    try:
        try:
            status, said = _exchange(connection, body, headers)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            connection.close()
            if not repeat:
                raise
            status, said = _exchange(connection, body, headers)
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return Told(body, jti, 0, None, began, time.monotonic(), repr(error).encode())
    token = str(orjson.loads(said)["access_token"]) if status == 200 else None
    token_jti = str(read_jws(token).claims["jti"]) if token else None
    return Told(body, jti, status, token_jti, began, time.monotonic(), said)


def _exchange(
    connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    connection.request("POST", "/connect/token", body, headers)
    response = connection.getresponse()
    return response.status, response.read()


@contextmanager
def load(
    ehr: SwiftEhr,
    *,
    clients: int = 4,
    pause: float = 0.0,
    repeat: bool = False,
    ports: Sequence[int] = (),
) -> Iterator[Ledger]:
    """So many clients, each asking again as soon as it was answered (and ``pause`` seconds later).

    With ``ports``, clients take turns at them.
    """
    ledger, over = Ledger(), threading.Event()
    ports = ports or [ehr.service.port]
    ehr.nonce()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(ehr.service.address, ports[number % len(ports)], timeout=10)
        while not over.is_set():
            try:
                told = ask(ehr, connection, repeat=repeat)
            except (OSError, AssertionError):  # no nonce to be had, so nothing was asked
                over.wait(0.02)
                continue
            ledger.told.append(told)
            over.wait(pause if told.status else max(pause, 0.02))
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield ledger
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


def again(ehr: SwiftEhr, told: Told) -> int:
    """Send the form of an earlier request once more, with a fresh proof; the status of the answer."""
    return ehr.send(told.form, ehr.proof()).status


def reconcile(
    ledger: Ledger, backstage: Backstage, client_id: str, *, remembered: float = 0.0
) -> dict[str, int]:
    """What client, audit and store disagree about, counted; every number is 0 when nothing is half done.

    The store forgets an id when it can no longer be accepted, so it is asked about the last minute only, and
    about nothing before ``remembered`` (monotonic seconds): when it last lost its memory, and refuses
    whatever is older. The audit's chains are walked too, against the checkpoint in the file.
    """
    installation, store = backstage.installation, backstage.services.store
    issued = backstage.entries("issuer.token.issued", client_id=client_id)
    audited_tokens = {entry.public["jti"] for entry in issued}
    audited_assertions = Counter(entry.public["assertion_jti"] for entry in issued)
    recent = ledger.since(max(remembered, time.monotonic() - REMEMBERED_SECONDS))
    asked = {told.assertion_jti for told in recent}
    acknowledged = {told.assertion_jti for told in recent if told.token_jti}
    spent = {jti for jti in asked if store.seen("assertion", f"{client_id} {jti}")}
    last = installation.checkpoints.last()
    report = verify(
        store.journal, chain_secret(installation.audit_secret), known=known_heads([last] if last else [])
    )
    return {
        "tokens out without an entry": len(ledger.tokens - audited_tokens),
        "acknowledged but not spent": len(acknowledged - spent),
        "spent but not in the audit": len(spent - set(audited_assertions)),
        "in the audit but not spent": len((set(audited_assertions) & asked) - spent),
        "accepted twice": sum(times > 1 for times in audited_assertions.values()),
        "flaws of the chain": 0 if report.intact else 1,
    }
