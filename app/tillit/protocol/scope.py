"""Scope values (RFC 6749 section 3.3)."""

import re
from typing import Final

from tillit.protocol.errors import Rejected

MAX_LENGTH: Final = 4096
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


def parse_scope(text: str) -> tuple[str, ...]:
    """Split a scope parameter into its distinct values, in order; empty text gives none.

    One space between values, no quotation mark, backslash, control or non-ASCII character. Raises Rejected.
    """
    if not text:
        return ()
    if len(text) > MAX_LENGTH or _SCOPE.fullmatch(text) is None:
        raise Rejected("not a list of scope values", "scope")
    return tuple(dict.fromkeys(text.split(" ")))
