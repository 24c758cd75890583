"""A PKCS#11 module in this process: started for threads, and anew after a fork or when its token was away.

python-pkcs11 starts a module as if one thread alone used it, which leaves sessions of several threads without
locks. So it is started again here, with ``CKF_OS_LOCKING_OK`` (PKCS #11 v3.0 section 5.4).
"""

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pkcs11

from tillit_server.signing.files import CustodyError
from tillit_server.signing.key_store import TokenUnavailable

OK = 0x0
OS_LOCKING_OK = 0x2
PATIENCE = 2.0
"""How long a request waits, in seconds, for a session or for others to come out of the module."""


class _Arguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS."""

    _fields_ = (
        ("mutexes", ctypes.c_void_p * 4),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _Functions(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST."""

    _Call = ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)
    _fields_ = (("version", ctypes.c_ubyte * 2), ("initialize", _Call), ("finalize", _Call))


class Module:
    """One module, shared by whatever uses it in this process. Thread-safe; survives a fork."""

    def __init__(self, path: Path) -> None:
        """Load it; it is started when it is needed. Raises ``CustodyError`` if it is no PKCS#11 module."""
        functions = ctypes.POINTER(_Functions)()
        try:
            ctypes.CDLL(str(path)).C_GetFunctionList(ctypes.byref(functions))
        except (OSError, AttributeError) as error:
            line = f"{path}: cannot be used as a PKCS#11 module ({' '.join(str(error).split())})"
            raise CustodyError(line) from None
        self._functions = functions.contents
        self._path = path
        self._library: Any = None
        self._users = 0
        self.epoch = 0
        self.after_fork()
        _living.add(self)

    def token(self, label: str) -> Any:
        """The token of that label; raises ``pkcs11.PKCS11Error``. For who holds the module."""
        return self._library.get_token(token_label=label)

    def after_fork(self) -> None:
        """Nothing that was open is ours, and locks that other threads held stay held."""
        self._gate = threading.Condition()
        self._inside = 0
        self._starting = False
        self._started = False
        self.epoch += 1

    @contextmanager
    def held(self) -> Iterator[int]:
        """Keep the module from being started anew for as long as it is called; gives its epoch.

        Sessions and handles of another epoch are worthless. Raises ``TokenUnavailable``.
        """
        with self._gate:
            if not self._gate.wait_for(lambda: not self._starting, PATIENCE):
                raise TokenUnavailable(f"{self._path}: is being started anew")
            if not self._started:
                self._start()
            self._inside += 1
            epoch = self.epoch
        try:
            yield epoch
        finally:
            with self._gate:
                self._inside -= 1
                self._gate.notify_all()

    def start_anew(self, epoch: int) -> None:
        """Start again, unless somebody did since ``epoch``: a module sees a token that came back only then.

        Raises ``TokenUnavailable`` when a call of somebody else does not come back.
        """
        with self._gate:
            if self._starting or self.epoch != epoch:
                return
            self._starting = True
            try:
                if not self._gate.wait_for(lambda: self._inside == 0, PATIENCE):
                    raise TokenUnavailable(f"{self._path}: calls do not come back")
                self._start()
            finally:
                self._starting = False
                self._gate.notify_all()

    def enter(self) -> None:
        """Count one more that uses it."""
        with self._gate:
            self._users += 1

    def leave(self) -> None:
        """Stop the module when nobody uses it any more: a child of this process starts it for itself."""
        with self._gate:
            self._users -= 1
            if self._users == 0 and self._started:
                self._functions.finalize(None)
                self._started = False
                self.epoch += 1

    def _start(self) -> None:
        self._started = False
        try:
            self._library = self._library or pkcs11.lib(str(self._path))
        except pkcs11.PKCS11Error as error:
            raise TokenUnavailable(f"{self._path}: cannot be started ({type(error).__name__})") from None
        self._functions.finalize(None)
        answer = self._functions.initialize(ctypes.byref(_Arguments(flags=OS_LOCKING_OK)))
        if answer != OK:
            raise TokenUnavailable(f"{self._path}: cannot be started (CKR {answer:#x})")
        self._started = True
        self.epoch += 1


_living: "weakref.WeakSet[Module]" = weakref.WeakSet()
_modules: dict[Path, Module] = {}
_loading = threading.Lock()


def load_module(path: Path) -> Module:
    """The module at ``path``, loaded once a process. Raises ``CustodyError``."""
    with _loading:
        if path not in _modules:
            _modules[path] = Module(path)
        _modules[path].enter()
        return _modules[path]


def _after_fork() -> None:
    for module in tuple(_living):
        module.after_fork()


os.register_at_fork(after_in_child=_after_fork)
