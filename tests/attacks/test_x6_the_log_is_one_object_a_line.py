"""X6: whatever a request holds, each event is one line of JSON, escaped and capped, and an error shows an id only."""

import json
import subprocess
import sys
from urllib.parse import quote

import pytest

from support.backstage import SELF_SERVICE, Backstage, eventually
from support.ehr import attestation
from support.log_lines import lines_of
from support.service import clean_environment, http
from support.wire import exchange
from tillit_server.logs import JsonLines
from tillit_server.web.door import Door

HOSTILE = {
    "line breaks": 'a\r\n{"level":"fault"}\n',
    "a terminal's commands": "\x1b[2J\x1b]0;title\x07\x08\x7f\x9b31m",
    "other ends of lines": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "turned text": "\u202egnp.exe\u2066\u2069\u200f\ufeff",
    "quotes and braces": '"}{"time":0,"level":"fault","x":"\\',
    "no characters": "\x00\ufffe\uffff",
    "length": "a" * 30_000,
    "length in code points": "\U0001f9ff" * 1_500,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_x6_nothing_in_a_request_can_write_the_log(name: str, backstage: Backstage):
    """Hostile text in every place that a log could show leaves one well-formed line for each event."""
    text, ehr, service = HOSTILE[name], backstage.client(), backstage.service
    short, brief = text[:1_500], text[:300]  # the longest that fit into body and header
    answers = [
        ehr.send(ehr.form(ehr.assertion(), client_id=text, scope=SELF_SERVICE), ehr.proof()),
        ehr.send(ehr.form(ehr.assertion(iss=short, sub=short), client_id=short), ehr.proof()),
        ehr.send(ehr.form(ehr.assertion(jti=short), scope=SELF_SERVICE), ehr.proof(jti=brief)),
        ehr.send(
            ehr.form(ehr.assertion(header={"kid": short, "typ": short})), ehr.proof(header={"typ": brief})
        ),
        ehr.send(ehr.form(ehr.assertion(aud=short)), ehr.proof(htu=brief)),
        ehr.send(ehr.form(ehr.assertion(), scope=text, grant_type=text), ehr.proof()),
        ehr.send(ehr.form(ehr.assertion(), **{text: text}), ehr.proof()),
        ehr.token(attestation(practitioner__legal_entity__id=short, patients__0__identifier__system=short)),
        ehr.token({"type": short, short: short}),
    ]
    path = quote(text, safe="")[:6_000]
    printable = "".join(c for c in text if c.isascii() and c.isprintable())[:4_000]
    http("GET", f"{service.issuer}/{path}", headers={"User-Agent": printable, "X-Request-Id": printable})
    head = f"BREW /{path} HTTP/1.1\r\nHost: {printable[:200]}\r\nConnection: close\r\n\r\n"
    exchange(service, head.encode("latin-1", "ignore"))
    assert {answer.status for answer in answers} <= {200, 400, 401}
    last = [answer.headers["Error-Id"] for answer in answers if answer.headers["Error-Id"]][-1]
    assert eventually(lambda: last in service.log())
    entries = lines_of(service.log())
    # One line for each refusal, found by its id; nobody wrote one of his own.
    ids = [entry.get("error_id") for entry in entries]
    assert all(ids.count(answer.headers["Error-Id"]) == 1 for answer in answers if answer.headers["Error-Id"])
    assert not [entry for entry in entries if entry["time"] == 0]


def test_x6_what_nobody_caught_is_an_id(caplog: pytest.LogCaptureFixture):
    """A fault that reaches the door is answered with 500 and an id; neither answer nor log shows its text."""

    def broken(environ: object, start_response: object) -> list[bytes]:
        raise RuntimeError("canary 05825031016")

    started: list[tuple[str, list[tuple[str, str]]]] = []
    door = Door(broken, places=1, judged=())
    answers = list(door({"REQUEST_METHOD": "GET"}, lambda *args: started.append(args)))
    body = json.loads(b"".join(answers))
    assert started[0][0].startswith("500 ")
    assert body.keys() == {"error", "error_id"}
    told = json.loads(JsonLines().format(caplog.records[0]))
    assert (told["error_id"], told["exception"]) == (body["error_id"], "RuntimeError")
    assert "canary" not in str(told)
    assert dict(started[0][1])["Cache-Control"] == "no-store"
    # The place is given back: the next request is answered too.
    assert list(door({"REQUEST_METHOD": "POST"}, lambda *args: started.append(args)))
    assert len(started) == 2


CRASHES = """
import gc, logging, threading, warnings
from tillit_server.logs import set_up_logging
set_up_logging()
class Odd:
    def __del__(self):
        raise ValueError("canary in a finaliser")
thread = threading.Thread(target=lambda: int("canary\\nin a thread"))
thread.start(); thread.join()
Odd(); gc.collect()
logging.getLogger("library").warning("a library\\nsays %s", "\\x1b[2J")
logging.getLogger("tillit.x").info("odd", extra={"event": {"n": 2**70, "nan": float("nan"), 5: None, "b": b"\\xff"}})
logging.getLogger("tillit.x").error("wrong %d", "canary")
warnings.warn("deprecated\\ncanary", stacklevel=1)
raise RuntimeError("canary in the main thread")
"""


def test_x6_faults_outside_requests_are_lines_too():
    """Exceptions in threads, finalisers and the main thread, warnings, and a call of the log that is itself wrong."""
    done = subprocess.run(
        [sys.executable, "-c", CRASHES],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
        check=False,
    )
    entries = lines_of(done.stderr)
    assert done.returncode == 1
    assert [entry["message"] for entry in entries].count("uncaught") == 3
    assert {entry.get("exception") for entry in entries} >= {"ValueError", "RuntimeError"}
    assert not [entry for entry in entries if "uncaught" in str(entry) and "canary" in str(entry)]


FORKS = """
import logging, os, signal, threading
from tillit_server.logs import set_up_logging
set_up_logging()
def write_on():
    while True:
        logging.getLogger("tillit.serving").error("of another thread")
for _ in range(2):
    threading.Thread(target=write_on, daemon=True).start()
failed = 0
for _ in range(300):
    child = os.fork()
    if not child:
        signal.alarm(10)
        logging.getLogger("tillit.serving").error("of a process just forked")
        os._exit(0)
    failed = failed or os.waitpid(child, 0)[1]
    if failed:
        break
os._exit(bool(failed))
"""


def test_x2_x6_a_worker_forked_while_another_thread_writes_can_write_too():
    """Two workers that die together are told of by two threads, while one of them is started anew."""
    buffered = {name: value for name, value in clean_environment().items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", FORKS], stderr=subprocess.DEVNULL, env=buffered, timeout=60, check=False
    )
    assert done.returncode == 0
