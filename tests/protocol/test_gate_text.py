"""The gate reads text strictly: rows J8 to J13, from duplicate members to stray bits."""

import json
import tracemalloc
from typing import Any

import pytest

from support.timing import least_cpu
from support.tokens import INTAKES, b64, compact, good_claims, good_header, key_for
from tillit.protocol.errors import OAuthError, Rejected
from tillit.protocol.gate import MAX_TOKEN_BYTES, decode_base64url, read_json, read_jws
from tillit.protocol.jose import base64url

REFUSED = (Rejected, OAuthError)
EVERY_INTAKE = pytest.mark.parametrize("intake", INTAKES)


def take(intake: str, token: str) -> Any:
    return INTAKES[intake][2](token)


def twice(claims: dict[str, Any], name: str, other: str) -> bytes:
    """Write JSON in which one member stands twice, first with another value."""
    return f'{{"{name}":{other},{json.dumps(claims)[1:]}'.encode()


@EVERY_INTAKE
def test_j8_duplicate_members_in_the_header(intake):
    """A header with two algorithms is refused: two readers must never see two tokens."""
    header = twice(good_header(intake), "alg", '"none"')
    assert json.loads(header)["alg"] == "ES256"
    with pytest.raises(REFUSED):
        take(intake, compact(header, good_claims(intake), key_for()))


@EVERY_INTAKE
@pytest.mark.parametrize("name", ["sub", "aud", "jti", "exp", "authorization_details", "iat"])
def test_j8_duplicate_members_in_the_payload(intake, name):
    """A payload with a claim twice is refused, also when the second one would be right."""
    claims = good_claims(intake) | {"authorization_details": []}
    claims.setdefault(name, "x")
    with pytest.raises(REFUSED):
        take(intake, compact(good_header(intake), twice(claims, name, '"other"'), key_for()))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"a":1, "a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":[{"a":{},"a":[]}]}',
        b'{"a":"\\"a\\":1","b":":","a":2}',
        b'{"":1,"":2}',
        '{"ø":1,"\\u00f8":2}'.encode(),
    ],
)
def test_j8_duplicates_are_found_however_they_are_written(text):
    """Escapes, white space, depth and colons inside strings hide no duplicate."""
    with pytest.raises(Rejected, match="duplicate member"):
        read_json(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":":","b":"\\"c\\":1"}',
        b'{ "a" : { "a" : 1 } , "b" : [ { "a" : 2 } ] }',
        b'{"a":"\\\\","b":"\\\\\\"","c":"\\/"}',
        b'"a:b"',
        b"[]",
        b"1",
        b'{"n":9007199254740992,"m":-9007199254740992,"f":1.5,"g":1234567890123456789.5}',
        b'{"s":"12345678901234567890"}',
        b'{"s":"\\\\u0000"}',
    ],
)
def test_good_json_is_read(text):
    """Colons, quotes, escapes and long digits inside strings are no reason to refuse."""
    assert read_json(text) == json.loads(text)


@EVERY_INTAKE
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-Infinity", "1e400", '"1"', "true", "null", "[1]", "-1", "1.5", "9" * 5000, "{}"],
)
def test_j9_times_are_whole_seconds(intake, name, value):
    """A time that is not a whole positive number is a refusal and never a fault."""
    claims = json.dumps(good_claims(intake, **{name: ...}))
    payload = f'{claims[:-1]},"{name}":{value}}}'.encode()
    with pytest.raises(REFUSED):
        take(intake, compact(good_header(intake), payload, key_for()))


@pytest.mark.parametrize(
    "number", ["9007199254740993", "-9007199254740993", "18446744073709551616", "1" * 300]
)
def test_j9_integers_beyond_53_bits(number):
    """An integer that other readers would round is refused, wherever it stands."""
    for text in (f'{{"a":{number}}}', f"[1, {number}]", number):
        with pytest.raises(Rejected, match="integer beyond"):
            read_json(text.encode())


@pytest.mark.parametrize("levels", [33, 900, 1100, 5000, 200_000])
@pytest.mark.parametrize("place", ["header", "payload", "authorization_details"])
def test_j10_nesting_is_refused_quickly(levels, place):
    """Deep nesting is refused in under 10 ms of CPU, with a cap of 32 levels."""
    deep = b"[" * levels + b"]" * levels
    header = b'{"alg":"ES256","x":' + deep + b"}" if place == "header" else {"alg": "ES256"}
    payload = {"payload": deep, "authorization_details": b'{"authorization_details":' + deep + b"}"}.get(
        place, {}
    )
    token = compact(header, payload)

    def refused() -> None:
        with pytest.raises(Rejected):
            read_jws(token)

    assert least_cpu(refused) < 0.01


def test_j10_thirty_two_levels_are_enough():
    """Exactly 32 levels pass, 33 do not, also when braces stand in strings."""
    assert read_json(b"[" * 32 + b"]" * 32)
    assert read_json(b"[[]," * 20 + b"[]" + b"]" * 20)
    with pytest.raises(Rejected, match="nested too deep"):
        read_json(b"[" * 33 + b"]" * 33)
    for levels, fine in ((32, True), (33, False)):
        text = b"[" * (levels - 1) + b'{"a":"{[{["}' + b"]" * (levels - 1)
        if fine:
            read_json(text)
        else:
            with pytest.raises(Rejected, match="nested too deep"):
                read_json(text)


@pytest.mark.parametrize(
    "token",
    ["A" * (MAX_TOKEN_BYTES + 1), "A" * 1_000_000, "A" * 30_000_000, "." * 1_000_000, "=" * 1_000_000],
    ids=["8 kB + 1", "1 MB", "30 MB", "dots", "equals"],
)
def test_j11_size_is_judged_before_anything_is_decoded(token):
    """A token that is too large costs next to no memory."""
    tracemalloc.start()
    try:
        with pytest.raises(Rejected, match="too large"):
            read_jws(token)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_j11_the_largest_token_is_read():
    """The limit itself is allowed."""
    token = compact({"alg": "ES256"}, {"a": "x" * 6000})
    room = MAX_TOKEN_BYTES - len(token)
    token = compact({"alg": "ES256"}, {"a": "x" * (6000 + room * 3 // 4)})
    assert MAX_TOKEN_BYTES - 4 <= len(token) <= MAX_TOKEN_BYTES
    read_jws(token)
    with pytest.raises(Rejected, match="too large"):
        read_jws(token, max_bytes=len(token) - 1)


def test_j11_headers_of_strangers_do_not_stay_in_memory():
    """Long headers are read and forgotten, so that a flood of different ones costs no memory."""
    tracemalloc.start()
    try:
        for number in range(600):
            read_jws(compact({"alg": "ES256", "kid": f"{number}", "x": "y" * 5000}, {}))
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("junk", ["=", "==", " ", "\n", "\t", "\r", "+", "/", "?", "#", "\x00", "\x7f", ","])
@pytest.mark.parametrize("where", ["before", "after", "inside"])
def test_j12_only_base64url(part, junk, where):
    """Characters that lenient decoders drop are refused in every part and place."""
    parts = compact({"alg": "ES256"}, {"a": 1}).split(".")
    text = parts[part]
    parts[part] = {"before": junk + text, "after": text + junk, "inside": text[:3] + junk + text[3:]}[where]
    with pytest.raises(Rejected):
        read_jws(".".join(parts))


def test_j12_every_octet_but_the_alphabet():
    """Of all 256 octets only the 64 of the alphabet decode."""
    accepted = set()
    for octet in range(256):
        try:
            decode_base64url("AA" + chr(octet) + "A", "x")
        except Rejected:
            continue
        accepted.add(chr(octet))
    assert accepted == set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("length", range(1, 8))
def test_j12_encoding_again_gives_the_identical_text(length):
    """Of all last characters only those without stray bits decode; a length of 1 modulo 4 never does."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    decoded = 0
    for last in alphabet:
        text = "A" * (length - 1) + last
        try:
            data = decode_base64url(text, "x")
        except Rejected:
            continue
        assert base64url(data) == text == b64(data)
        decoded += 1
    assert decoded == {0: 64, 1: 0, 2: 4, 3: 16}[length % 4]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("place", ["header", "payload"])
def test_j13_only_utf_8(encoding, place):
    """Header and payload in any other encoding are refused, and so is a byte order mark."""
    data = '{"alg":"ES256","name":"Bjørg"}'.encode(encoding)
    token = compact(data, {}) if place == "header" else compact({"alg": "ES256"}, data)
    with pytest.raises(Rejected):
        read_jws(token)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\\u0000"}',
        b'{"\\u0000":1}',
        b'{"a":"x\\\\\\u0000"}',
        b'{"a":"\x00"}',
        b'{"a":1}\x00',
        b"",
        b"{",
        b'{"a":1}{}',
        b"{'a':1}",
        b'{"a":1,}',
        b"[01]",
        b"//\n{}",
    ],
)
def test_j13_malformed_text_is_refused(text):
    """Lone surrogates, NUL, overlong forms and near-JSON are refused."""
    with pytest.raises(Rejected):
        read_json(text)
