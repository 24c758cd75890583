"""The strict front gate: every token and every JSON document passes here before a library sees it.

Compact JWS only (RFC 7515 section 7.1), read once, nothing verified. No Python JOSE library refuses
all of: duplicate members, other encodings than UTF-8, non-canonical base64url, unknown ``crit``, keys
brought along in the header, integers beyond 2**53, deep nesting. The rows J1 to J17 of the threat table
are what this module is for.
"""

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from string import ascii_letters, digits
from types import MappingProxyType
from typing import Any, Final, NoReturn

import orjson

from tillit.protocol.errors import Rejected
from tillit.quick import quick

MAX_TOKEN_BYTES: Final = 8192
"""Tokens, proofs and request objects; one byte more is refused before anything is decoded."""
MAX_ASSERTION_BYTES: Final = 24576
"""Client assertions, which may carry an attestation."""
MAX_JSON_BYTES: Final = 262_144
MAX_DEPTH: Final = 32
MAX_KID_LENGTH: Final = 256
# Headers are short; what strangers send must not fill the memory.
_CACHED_HEADERS: Final = 512
_MAX_CACHED_HEADER: Final = 1024

GATE_ALGORITHMS: Final = frozenset({"ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA", "RS256"})
"""What may pass at all; each intake narrows it further. No ``none`` and no HMAC, ever."""

# Header members that change how the token is to be read, or bring a key along.
_FORBIDDEN: Final = frozenset(
    "crit b64 jku x5u x5c jwk zip enc epk apu apv p2s p2c iv tag".split()  # noqa: SIM905, a word list
)

# base64url to base64; what is not base64url becomes NUL, which the strict decoder refuses.
_BASE64URL: Final = bytes(
    code if chr(code) in ascii_letters + digits else {ord("-"): ord("+"), ord("_"): ord("/")}.get(code, 0)
    for code in range(256)
)
# The last character of a part may only use the bits that belong to the last byte (RFC 4648 section 3.5).
_LAST_OF_TWO: Final = frozenset(b"AQgw")
_LAST_OF_THREE: Final = frozenset(b"AEIMQUYcgkosw048")

_DIGITS: Final = bytes(ord("0") if chr(code) in digits else 0 for code in range(256))
_SIXTEEN_DIGITS: Final = b"0" * 16  # fewer digits cannot exceed 2**53
_ESCAPE: Final = re.compile(rb"\\(?s:.)")
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOT_BRACKETS: Final = bytes(code for code in range(256) if code not in b"{}[]")
_STEP: Final = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_MAX_INTEGER: Final = 2**53


@quick
@dataclass(frozen=True, slots=True)
class UnverifiedJWS:
    """A compact JWS that has passed the gate. Nothing in it is verified; ``claims`` least of all."""

    header: Mapping[str, Any]
    claims: dict[str, Any] = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    @property
    def alg(self) -> str:
        """The algorithm the header names; the gate has seen that it is a string we know."""
        alg: str = self.header["alg"]
        return alg

    @property
    def kid(self) -> str | None:
        """The key id the header names, if any; the gate has seen that it is a short string."""
        return self.header.get("kid")


def read_jws(
    token: str | bytes, *, max_bytes: int = MAX_TOKEN_BYTES, allow_jwk: bool = False
) -> UnverifiedJWS:
    """Read one compact JWS whose payload is a JSON object, that is a JWT (RFC 7519 section 7.2).

    ``max_bytes`` is compared before anything is decoded. ``allow_jwk`` lets the header bring a public
    key, which only a DPoP proof may. Raises Rejected, never anything else.
    """
    header, payload, signing_input, signature = read_compact(token, max_bytes, allow_jwk=allow_jwk)
    return UnverifiedJWS(header, _object(payload, "payload"), signing_input, signature)


def read_compact(
    token: str | bytes, max_bytes: int = MAX_TOKEN_BYTES, *, allow_jwk: bool = False
) -> tuple[Mapping[str, Any], bytes, bytes, bytes]:
    """Take a compact JWS apart (RFC 7515 section 5.2 steps 1 to 7), whatever its payload is.

    Gives header, payload, signing input and signature. Raises Rejected, never anything else.
    """
    if len(token) > max_bytes:
        raise Rejected("token too large", expected=f"at most {max_bytes} bytes", found=len(token))
    if isinstance(token, str):
        if not token.isascii():
            raise Rejected("token holds characters outside base64url")
        token = token.encode("ascii")
    parts = token.split(b".", 3)
    if len(parts) != 3:  # noqa: PLR2004, header.payload.signature
        raise Rejected("not a compact JWS of three parts", found=f"{token.count(b'.') + 1} parts")
    header_part, payload_part, signature_part = parts
    read_header = _header if len(header_part) <= _MAX_CACHED_HEADER else _header.__wrapped__
    header = read_header(header_part, allow_jwk)
    payload = _decode(payload_part, "payload")
    signature = _decode(signature_part, "signature")
    return header, payload, token[: len(header_part) + 1 + len(payload_part)], signature


@lru_cache(maxsize=_CACHED_HEADERS)
def _header(part: bytes, allow_jwk: bool) -> Mapping[str, Any]:  # noqa: FBT001, a cache key
    """Read a header. The same one comes with every token of a key, so it is read once; read-only."""
    header = _object(_decode(part, "header"), "header")
    alg = header.get("alg")
    if type(alg) is not str or alg not in GATE_ALGORITHMS:
        raise Rejected("algorithm missing or not allowed", "header.alg", found=alg)
    if not _FORBIDDEN.isdisjoint(header):
        for name in sorted(_FORBIDDEN.intersection(header)):
            if not (name == "jwk" and allow_jwk):
                raise Rejected("header member not allowed", f"header.{name}")
    if "kid" in header and not is_key_id(header["kid"]):
        raise Rejected("key id is not a short printable string", "header.kid")
    return MappingProxyType(header)


def read_json(data: bytes, *, max_depth: int = MAX_DEPTH, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Parse JSON strictly: I-JSON (RFC 7493) with a limit on depth and size.

    Refused: duplicate members at any depth, NaN and infinities, numbers beyond a double, integers
    beyond 2**53 either way, lone surrogates, NUL characters, byte order marks, anything but UTF-8.
    ``max_depth`` counts nested objects and arrays. Raises Rejected, never anything else.
    """
    if len(data) > max_bytes:
        raise Rejected("JSON too large", expected=f"at most {max_bytes} bytes", found=len(data))
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Rejected("not valid JSON") from None
    if (
        _is_own_serialisation(data, value)
        and data.count(b"{") + data.count(b"[") <= max_depth
        and (b"\\" not in data or b"\\u0000" not in data)
        and _SIXTEEN_DIGITS not in data.translate(_DIGITS)
    ):
        return value
    _scrutinise(data, value, max_depth)
    return value


def _is_own_serialisation(data: bytes, value: Any) -> bool:
    """Tell whether the text is exactly what its value serialises to: then no member was lost on the way."""
    try:
        return orjson.dumps(value) == data
    except orjson.JSONEncodeError:  # deeper than it writes
        return False


def decode_base64url(part: str, pointer: str) -> bytes:
    """Decode canonical base64url without padding (RFC 7515 section 2). Raises Rejected with ``pointer``."""
    if not part.isascii():
        raise Rejected("not canonical base64url", pointer)
    return _decode(part.encode("ascii"), pointer)


def _decode(part: bytes, pointer: str) -> bytes:
    """Decode so that encoding again would give the identical text."""
    over = len(part) & 3
    if over:
        allowed = (b"", b"", _LAST_OF_TWO, _LAST_OF_THREE)[over]
        if part[-1] not in allowed:
            _not_canonical(pointer)
    elif not part:
        raise Rejected("part is empty", pointer)
    try:
        return binascii.a2b_base64(part.translate(_BASE64URL) + b"==="[: -over & 3], strict_mode=True)
    except binascii.Error:
        _not_canonical(pointer)


def _not_canonical(pointer: str) -> NoReturn:
    raise Rejected("not canonical base64url", pointer)


def _object(data: bytes, pointer: str) -> dict[str, Any]:
    try:
        value = read_json(data)
    except Rejected as refusal:
        raise Rejected(refusal.reason, pointer, expected=refusal.expected) from None
    if type(value) is not dict:
        raise Rejected("not a JSON object", pointer)
    return value


def is_key_id(value: object) -> bool:
    """Tell whether a value may name a key: a printable string of 1 to 256 characters."""
    return type(value) is str and 0 < len(value) <= MAX_KID_LENGTH and value.isprintable()


def _scrutinise(data: bytes, value: Any, max_depth: int) -> None:
    """Check at leisure what the short cut could not rule out. ``data`` is known to be valid JSON."""
    if b"\\" in data:
        if any(escape == rb"\u" and data[at + 2 : at + 6] == b"0000" for at, escape in _escapes(data)):
            raise Rejected("NUL character in a string")
        data = _ESCAPE.sub(b"", data)
    # Valid JSON without escapes: every second piece between quotation marks is outside strings.
    outside = b"".join(data.split(b'"')[::2])
    depth = max(accumulate(_STEP[byte] for byte in outside.translate(None, _NOT_BRACKETS)), default=0)
    if depth > max_depth:
        raise Rejected("nested too deep", expected=f"at most {max_depth} levels")
    if _SIXTEEN_DIGITS in outside.translate(_DIGITS):
        for number in _NUMBER.findall(outside):
            _require_safe_integer(number)
    # A colon outside strings stands for one member; a member that was overwritten is missing in the value.
    if outside.count(b":") != _members(value):
        raise Rejected("duplicate member")


def _escapes(data: bytes) -> list[tuple[int, bytes]]:
    return [(match.start(), match.group()) for match in _ESCAPE.finditer(data)]


def _require_safe_integer(number: bytes) -> None:
    figures = number.lstrip(b"-")
    if figures.isdigit() and (len(figures) > len(_SIXTEEN_DIGITS) or int(figures) > _MAX_INTEGER):
        raise Rejected("integer beyond 2**53")


def _members(value: Any) -> int:
    count = 0
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            count += len(item)
            waiting.extend(item.values())
        elif type(item) is list:
            waiting.extend(item)
    return count
