"""Rich authorization requests (RFC 9396 section 2): the array of typed objects, and who may be in it.

What the members of a type mean is the business of other rooms; this one knows only the envelope. Which
carrier the value came in (``assertion_details``, ``authorization_details``) is told for the messages.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from tillit.protocol.errors import OAuthError, Rejected, invalid_authorization_details
from tillit.protocol.gate import read_json

ATTESTATION_TYPE: Final = "nhn:tillitsrammeverk:parameters"
ORGANISATION_TYPE: Final = "helseid_authorization"
JOURNAL_TYPE: Final = "nhn:sfm:journal-id"
KNOWN_TYPES: Final = frozenset({ATTESTATION_TYPE, ORGANISATION_TYPE, JOURNAL_TYPE})

MAX_BYTES: Final = 24576
MAX_DETAILS: Final = 16


def read_details(
    value: Any, *, carrier: str = "authorization_details", known: Collection[str] | None = KNOWN_TYPES
) -> tuple[Mapping[str, Any], ...]:
    """Read details given as an object, an array of objects, or either as JSON in a string.

    RFC 9396 prescribes the array; published clients send a single object when there is one element. A
    string is parsed once. ``known`` None admits every type. Raises OAuthError
    ``invalid_authorization_details`` with rule ATT-1 (not JSON), ATT-TYPE (``type`` missing or unknown) or
    ATT-SHAPE (not objects, none, too many, two of one type).
    """
    if isinstance(value, str):
        value = _parsed(value, carrier)
    single = isinstance(value, dict)
    elements = [value] if single else value
    if not isinstance(elements, list):
        raise invalid_authorization_details("ATT-SHAPE", carrier, "an object or an array of objects needed")
    if not 0 < len(elements) <= MAX_DETAILS:
        raise invalid_authorization_details("ATT-SHAPE", carrier, f"1 to {MAX_DETAILS} objects needed")
    seen: set[str] = set()
    for index, element in enumerate(elements):
        path = carrier if single else f"{carrier}[{index}]"
        type_ = _type_of(element, path, known)
        if type_ in seen:
            raise invalid_authorization_details("ATT-SHAPE", f"{path}.type", "type occurs twice")
        seen.add(type_)
    return tuple(elements)


def of_type(details: Iterable[Mapping[str, Any]], type_: str) -> Mapping[str, Any] | None:
    """Give the one element of a type, or None. Raises OAuthError (ATT-SHAPE) when there are two."""
    found = [detail for detail in details if detail.get("type") == type_]
    if len(found) > 1:
        raise invalid_authorization_details("ATT-SHAPE", "authorization_details", f"{type_} occurs twice")
    return found[0] if found else None


def _parsed(text: str, carrier: str) -> Any:
    try:
        data = text.encode("utf-8")
        return read_json(data, max_bytes=MAX_BYTES)
    except (UnicodeEncodeError, Rejected) as refusal:
        reason = refusal.reason if isinstance(refusal, Rejected) else "not valid JSON"
        raise _not_json(carrier, reason) from refusal


def _not_json(carrier: str, reason: str) -> OAuthError:
    return invalid_authorization_details("ATT-1", carrier, reason)


def _type_of(element: Any, path: str, known: Collection[str] | None) -> str:
    if not isinstance(element, dict):
        raise invalid_authorization_details("ATT-SHAPE", path, "an object needed")
    type_ = element.get("type")
    if type_ is None:
        raise invalid_authorization_details("ATT-TYPE", f"{path}.type", "missing")
    if not isinstance(type_, str):
        raise invalid_authorization_details("ATT-TYPE", f"{path}.type", "a string needed")
    if known is not None and type_ not in known:
        raise invalid_authorization_details("ATT-TYPE", f"{path}.type", "unknown type")
    return type_
