"""The door: what takes one of the places at which requests are judged, and what never waits for one."""

import threading
from collections.abc import Iterable
from typing import Any

import pytest

from tillit_server.web.door import Door

STARTED: list[tuple[str, Any]] = []
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
    thread = threading.Thread(target=door, args=({"PATH_INFO": "/", **environ}, STARTED.append))
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("environ", "waits"),
    [
        (FORM, True),
        ({"REQUEST_METHOD": "GET", "HTTP_AUTHORIZATION": "DPoP x"}, True),
        ({"REQUEST_METHOD": "GET"}, False),
        ({"REQUEST_METHOD": "HEAD"}, False),
        ({"REQUEST_METHOD": "DELETE", "CONTENT_LENGTH": ""}, True),
    ],
)
def test_what_is_judged_waits_for_a_place(environ: dict[str, Any], waits: bool):
    """Forms and credentials are judged, so many at once; what is only read is answered beside them."""
    app = Slow()
    door = Door(app, places=1)  # type: ignore[arg-type]
    first = asking(door, FORM)
    assert app.entered.acquire(timeout=10)
    second = asking(door, environ)
    assert app.entered.acquire(timeout=0.3 if waits else 10) != waits
    app.go_on.set()
    for thread in (first, second):
        thread.join(10)
        assert not thread.is_alive()
