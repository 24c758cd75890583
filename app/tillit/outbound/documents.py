"""JSON documents of an issuer: fetched with limits, and checked for whose they are."""

from collections.abc import Mapping
from typing import Any

from tillit.outbound.published import Fetched
from tillit.outbound.transport import (
    DOCUMENT_BYTES,
    Request,
    Send,
    TransportError,
    freshness,
    require_safe_url,
)
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import read_json
from tillit.protocol.metadata import OPENID_PATH, check_metadata, location

METADATA_MAX_AGE = 3600.0
"""Freshness in seconds of metadata whose answer names none."""

_OK = 200


def fetch_json(
    send: Send, url: str, *, default_age: float, headers: tuple[tuple[str, str], ...] = ()
) -> Fetched[Mapping[str, Any]]:
    """Fetch one JSON object of at most 512 KiB. Raises `TransportError`; a redirect is not followed."""
    require_safe_url(url)
    answer = send(Request("GET", url, (("Accept", "application/json"), *headers)))
    if answer.status != _OK:
        raise TransportError(TransportError.BAD_STATUS, str(answer.status))
    if len(answer.body) > DOCUMENT_BYTES:
        raise TransportError(TransportError.TOO_LARGE)
    try:
        document = read_json(answer.body, max_bytes=DOCUMENT_BYTES)
    except Rejected as rejected:
        raise TransportError(TransportError.BAD_DOCUMENT, str(rejected)) from rejected
    if not isinstance(document, Mapping):
        raise TransportError(TransportError.BAD_DOCUMENT, "not a JSON object")
    return Fetched(document, freshness(answer, default=default_age))


def fetch_metadata(send: Send, issuer: str) -> Fetched[Mapping[str, Any]]:
    """Fetch and check the metadata of an issuer (OpenID Connect Discovery §4, RFC 8414 §3).

    The issuer in the document must equal `issuer` to the letter, or the document is somebody else's.
    Raises `TransportError`.
    """
    document = fetch_json(send, location(issuer, OPENID_PATH), default_age=METADATA_MAX_AGE)
    try:
        check_metadata(document.value, issuer)
    except Rejected as rejected:
        raise TransportError(TransportError.BAD_DOCUMENT, str(rejected)) from rejected
    return document
