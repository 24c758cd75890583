"""JSON documents of an issuer: fetched with limits, and checked for whose they are."""

from collections.abc import Collection, Mapping
from typing import Any

from tillit.outbound.published import Fetched
from tillit.outbound.transport import (
    DOCUMENT_BYTES,
    Request,
    Response,
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
    send: Send,
    url: str,
    *,
    default_age: float,
    headers: tuple[tuple[str, str], ...] = (),
    max_bytes: int = DOCUMENT_BYTES,
    media_types: Collection[str] = (),
) -> Fetched[Mapping[str, Any]]:
    """Fetch one JSON object. Raises `TransportError`; a redirect is not followed.

    `media_types`: what the answer may say it is; none lets it say anything.
    """
    require_safe_url(url)
    accept = ", ".join(media_types) or "application/json"
    answer = send(Request("GET", url, (("Accept", accept), *headers), max_bytes=max_bytes))
    if answer.status != _OK:
        raise TransportError(TransportError.BAD_STATUS, str(answer.status))
    if media_types and _media_type(answer) not in media_types:
        raise TransportError(TransportError.BAD_DOCUMENT, f"Content-Type is none of {', '.join(media_types)}")
    if len(answer.body) > max_bytes:
        raise TransportError(TransportError.TOO_LARGE)
    try:
        document = read_json(answer.body, max_bytes=max_bytes)
    except Rejected as rejected:
        raise TransportError(TransportError.BAD_DOCUMENT, str(rejected)) from rejected
    if not isinstance(document, Mapping):
        raise TransportError(TransportError.BAD_DOCUMENT, "not a JSON object")
    return Fetched(document, freshness(answer, default=default_age))


def _media_type(answer: Response) -> str:
    return (answer.header("Content-Type") or "").partition(";")[0].strip().lower()


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
