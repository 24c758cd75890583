"""Makes a token slow, in the processes of a service whose PYTHONPATH names this directory.

The file that SLOW_TOKEN names holds seconds. Every C_Sign waits for so long in the thread that calls it, without
Python's lock, exactly where it would wait for a device at the end of a network.
"""

import os
import time
from pathlib import Path

from pkcs11 import _pkcs11

_FILE = Path(os.environ["SLOW_TOKEN"])
_sign = _pkcs11.SignMixin._sign


def _slow(self, *arguments, **named):
    time.sleep(float(_FILE.read_text(encoding="ascii")))
    return _sign(self, *arguments, **named)


_pkcs11.SignMixin._sign = _slow
