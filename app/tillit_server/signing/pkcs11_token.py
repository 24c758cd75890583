"""A PKCS#11 token: logged in to, with a bounded number of sessions, found again when it was away."""

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pkcs11

from tillit_server.signing.files import CustodyError, read_secret
from tillit_server.signing.key_store import TokenUnavailable
from tillit_server.signing.pkcs11_module import PATIENCE, Module, load_module

RETRY_AFTER = 0.25
"""A token that is away is looked for at most so often, in seconds."""
WRONG_PIN = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinLocked,
    pkcs11.PinExpired,
    pkcs11.UserPinNotInitialized,
)
UNABLE = (
    pkcs11.MechanismInvalid,
    pkcs11.MechanismParamInvalid,
    pkcs11.KeySizeRange,
    pkcs11.KeyTypeInconsistent,
    pkcs11.DomainParamsInvalid,
    pkcs11.AttributeTypeInvalid,
    pkcs11.AttributeValueInvalid,
    pkcs11.TemplateIncomplete,
    pkcs11.TemplateInconsistent,
    pkcs11.TokenWriteProtected,
)
"""Errors that say what a token cannot do, and will say again however often it is asked."""

T = TypeVar("T")


@dataclass(slots=True)
class Seat:
    """A session and the keys that were found in it. Used by one thread at a time."""

    session: Any
    epoch: int
    keys: dict[bytes, Any] = field(default_factory=dict)


class Token:
    """One token, used through at most ``sessions`` sessions at once. Thread-safe; survives a fork."""

    def __init__(self, module: Path, label: str, pin_file: Path, sessions: int) -> None:
        """Load the module and read the PIN; the token itself may be away. Raises ``CustodyError``."""
        self.label = label
        pin = read_secret(pin_file)
        if pin is None:
            raise CustodyError(f"{pin_file}: there is no PIN file")
        self._pin_file = pin_file
        self._pin = pin.rstrip(b"\r\n").decode("utf-8", "replace")
        self._sessions = sessions
        self._module: Module = load_module(module)
        self._closed = False
        self.after_fork()
        _living.add(self)

    def __repr__(self) -> str:
        return f"Token({self.label!r})"

    def after_fork(self) -> None:
        """Locks that other threads held stay held, and sessions are the parent's."""
        self._places = threading.BoundedSemaphore(self._sessions)
        self._free: deque[Seat] = deque()
        self._login = threading.Lock()
        self._main: Seat | None = None
        self._search = threading.Lock()
        self._searched_at = float("-inf")
        self._wrong_pin = ""

    def use(self, work: Callable[[Seat], T]) -> T:
        """What ``work`` gives, done with a session of its own; once more after the token was found again.

        Raises ``TokenUnavailable``, and ``CustodyError`` for what the token never can do.
        """
        again = True
        while True:
            with self._place(), self._module.held() as epoch:
                seat = None
                try:
                    seat = self._next_free(epoch) or self._open(epoch)
                    done = work(seat)
                except UNABLE as error:
                    raise CustodyError(f"token {self.label!r} cannot do it: {type(error).__name__}") from None
                except pkcs11.PKCS11Error as error:
                    fault = type(error).__name__
                    with suppress(pkcs11.PKCS11Error):
                        if seat is not None:
                            seat.session.close()
                else:
                    self._free.append(seat)
                    return done
            if not (again and self._found_again(epoch)):
                raise TokenUnavailable(f"token {self.label!r} does not answer: {fault}")
            again = False

    def close(self) -> None:
        """Let go of the module, and with the last user of it of every session."""
        if not self._closed:
            self._closed = True
            self._free.clear()
            self._module.leave()

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(timeout=PATIENCE):
            raise TokenUnavailable(f"token {self.label!r}: all {self._sessions} sessions are busy")
        try:
            yield
        finally:
            self._places.release()

    def _next_free(self, epoch: int) -> Seat | None:
        while True:
            try:
                seat = self._free.pop()
            except IndexError:
                return None
            if seat.epoch == epoch:
                return seat

    def _open(self, epoch: int) -> Seat:
        """A session. The login holds for all of them, until the main one ends."""
        with self._login:
            if self._wrong_pin:  # asking again and again would lock the token
                raise TokenUnavailable(self._wrong_pin)
            token = self._module.token(self.label)
            if self._main is None or self._main.epoch != epoch:
                self._main = Seat(self._logged_in(token), epoch)
        return Seat(token.open(rw=True), epoch)

    def _logged_in(self, token: Any) -> Any:
        try:
            return token.open(rw=True, user_pin=self._pin)
        except pkcs11.UserAlreadyLoggedIn:
            return token.open(rw=True)
        except WRONG_PIN as error:
            found = type(error).__name__
            self._wrong_pin = f"{self._pin_file}: token {self.label!r} does not take this PIN ({found})"
            raise TokenUnavailable(self._wrong_pin) from None

    def _found_again(self, epoch: int) -> bool:
        """Whether it is worth another try: the module was started anew, by us or by somebody before us."""
        with self._search:
            if self._module.epoch != epoch:
                return True
            now = time.monotonic()
            if now - self._searched_at < RETRY_AFTER:
                return False
            self._searched_at = now
            self._module.start_anew(epoch)
            return True


_living: "weakref.WeakSet[Token]" = weakref.WeakSet()


def _after_fork() -> None:
    for token in tuple(_living):
        token.after_fork()


os.register_at_fork(after_in_child=_after_fork)
