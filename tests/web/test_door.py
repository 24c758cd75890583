"""The door: what takes one of the places at which requests are judged, and what never waits for one."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from tillit.protocol.metadata import ENDPOINTS
from tillit_server.web.door import Door
from tillit_server.web.urls import judged_paths

STARTED: list[tuple[str, Any]] = []
JUDGED, PAGE = "/judged", {"PATH_INFO": "/page"}
FORM = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0"}


class Slow:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def __call__(self, *_: object) -> Iterable[bytes]:
        """Answer."""
        self.entered.release()
        assert self.go_on.wait(10)
        return (b"",)


def asking(door: Door, environ: dict[str, Any]) -> threading.Thread:
    """A request that is being answered."""
    thread = threading.Thread(target=door, args=({"PATH_INFO": JUDGED, **environ}, STARTED.append))
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("environ", "waits"),
    [
        (FORM, True),
        ({"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "DPoP x"}, True),
        ({"REQUEST_METHOD": "GET"}, True),
        ({"REQUEST_METHOD": "DELETE", "CONTENT_LENGTH": ""}, True),
        ({**PAGE, "REQUEST_METHOD": "GET"}, False),
        ({**PAGE, "REQUEST_METHOD": "HEAD"}, False),
        ({**PAGE, "REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "x"}, False),
        ({**PAGE, **FORM}, False),
    ],
)
def test_what_is_judged_waits_for_a_place(environ: dict[str, Any], waits: bool):
    """The path decides, and nothing that a stranger adds: pages are answered beside what is judged."""
    app = Slow()
    door = Door(app, places=1, judged=(JUDGED,))
    first = asking(door, FORM)
    assert app.entered.acquire(timeout=10)
    second = asking(door, environ)
    assert app.entered.acquire(timeout=0.3 if waits else 10) != waits
    app.go_on.set()
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive()


def test_pages_never_wait_for_each_other():
    """Any number of them may wait for an identity provider, and the one place is still free."""
    app = Slow()
    door = Door(app, places=1, judged=(JUDGED,))
    threads = [asking(door, {**PAGE, **FORM}) for _ in range(20)]
    threads.append(asking(door, FORM))
    for _ in threads:
        assert app.entered.acquire(timeout=10)
    app.go_on.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_every_endpoint_for_programs_is_judged():
    """What takes credentials, and explain, has a place; an issuer with a path has it before each."""
    names = (
        "token_endpoint",
        "userinfo_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "pushed_authorization_request_endpoint",
    )
    expected = {"/auth" + ENDPOINTS[name] for name in names} | {"/auth/explain", "/auth/v1/client-secret"}
    assert set(judged_paths("/auth")) == expected
