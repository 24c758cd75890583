"""The one parsing of a form request, strict: what is not clear never gets further.

It works on the WSGI environment, so that every door into the service shares it.
"""

import re
from binascii import a2b_qp
from collections.abc import Mapping
from typing import Any

from tillit.protocol.errors import OAuthError, invalid_request
from tillit_server.issuer.request import Request

MAX_BODY = 65_536
MAX_FIELDS = 50
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_UNESCAPED = bytes(range(0x20, 0x7F))  # what may stand for itself: ASCII without its control characters
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_REPEATABLE = "resource"  # RFC 8707 §2


def form_request(environ: Mapping[str, Any], endpoint: str) -> Request:
    """The form request in ``environ``, addressed to ``endpoint`` (our public URL, never the Host header).

    Raises ``OAuthError`` ``invalid_request`` (400, 413 or 415).
    """
    form, resources = body_parameters(environ)
    return Request(
        endpoint=endpoint,
        form=form,
        dpop=_proofs(environ),
        resources=resources,
        authorization=environ.get("HTTP_AUTHORIZATION"),
    )


def json_request(environ: Mapping[str, Any], endpoint: str) -> Request:
    """The same with a body of JSON, which nobody has read yet, or with none if the method is GET."""
    _require_sound_framing(environ)
    if environ.get("QUERY_STRING"):
        raise invalid_request("no parameters in the URL")
    method = environ["REQUEST_METHOD"]
    return Request(
        endpoint=endpoint,
        form={},
        dpop=_proofs(environ),
        authorization=environ.get("HTTP_AUTHORIZATION"),
        method=method,
        body=b"" if method == "GET" else _body(environ, JSON),
    )


def _proofs(environ: Mapping[str, Any]) -> tuple[str, ...]:
    # A server joins repeated headers with a comma, which no proof can hold (RFC 9449 §4.3 no. 1).
    dpop = environ.get("HTTP_DPOP")
    return tuple(part.strip() for part in dpop.split(",")) if dpop is not None else ()


def _require_sound_framing(environ: Mapping[str, Any]) -> None:
    """Nothing that two servers in a row could read differently (threat X5)."""
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise invalid_request("Transfer-Encoding: a body with a Content-Length needed")
    # RFC 9112 §3.2: one Host. A server joins repeated headers with a comma, which no host can hold.
    host = environ.get("HTTP_HOST", "")
    if "," in host or (not host and environ.get("SERVER_PROTOCOL") == "HTTP/1.1"):
        raise invalid_request("Host: needed, once")


def _body(environ: Mapping[str, Any], wanted: str) -> bytes:
    media_type, _, parameters = environ.get("CONTENT_TYPE", "").partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != wanted or charset not in {"", "charset=utf-8"}:
        raise invalid_request_with(415, f"Content-Type: {wanted} needed")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise invalid_request_with(415, "Content-Encoding: not supported")
    length = environ.get("CONTENT_LENGTH") or ""
    if not length.isascii() or not length.isdigit():
        raise invalid_request("Content-Length: a number needed")
    if len(length) > 7 or int(length) > MAX_BODY:  # noqa: PLR2004 (longer is larger)
        raise invalid_request_with(413, f"body: more than {MAX_BODY} bytes")
    body: bytes = environ["wsgi.input"].read(int(length))
    if len(body) != int(length):
        # Cut off on its way, or too slow: what is missing could be the half that matters.
        raise invalid_request("body: shorter than its Content-Length")
    return body


def query_parameters(environ: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The parameters that a browser brings in the URL, each once, and the values of ``resource``.

    Raises ``OAuthError`` ``invalid_request``.
    """
    _require_sound_framing(environ)
    # WSGI (PEP 3333) hands octets over as latin-1
    return _fields(environ.get("QUERY_STRING", "").encode("latin-1"), "query")


def body_parameters(environ: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The same of a form that a browser sends; parameters in the URL beside it are refused."""
    _require_sound_framing(environ)
    if environ.get("QUERY_STRING"):
        raise invalid_request("parameters belong in the body, not in the URL")
    return _fields(_body(environ, FORM), "body")


def _fields(body: bytes, where: str) -> tuple[dict[str, str], tuple[str, ...]]:
    if body.count(b"&") >= MAX_FIELDS:
        raise invalid_request(f"{where}: more than {MAX_FIELDS} parameters")
    if body.translate(None, _UNESCAPED) or _BROKEN_ESCAPE.search(body):
        raise invalid_request(f"{where}: not application/x-www-form-urlencoded")
    form: dict[str, str] = {}
    seen: set[str] = set()
    resources: list[str] = []
    for pair in body.decode("ascii").split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        # The assertion, by far the longest, has nothing to decode.
        if "%" in pair or "+" in pair:
            name, value = _decoded(name, where), _decoded(value, where)
        if name == _REPEATABLE:
            resources.append(value)
            continue
        # RFC 6749 §3.2: no parameter twice, and one without a value counts as omitted
        if name in seen:
            raise invalid_request(f"{where}: a parameter is given more than once")
        seen.add(name)
        if value:
            form[name] = value
    return form, tuple(resources)


def _decoded(part: str, where: str) -> str:
    """A name or a value as its sender meant it."""
    # Percent-encoding is quoted-printable with another sign, which C code decodes.
    quoted = part.replace("+", " ").replace("=", "=3D").replace("%", "=")
    try:
        text = a2b_qp(quoted).decode("utf-8")
    except UnicodeDecodeError:
        raise invalid_request(f"{where}: not UTF-8") from None
    # No control, bidi or zero-width characters: no parameter of ours has a use for them (threat A8).
    if not text.isprintable():
        raise invalid_request(f"{where}: characters in a parameter that cannot be printed")
    return text


def invalid_request_with(status: int, description: str) -> OAuthError:
    """``invalid_request`` with another status than 400."""
    return OAuthError("invalid_request", description, status=status)
