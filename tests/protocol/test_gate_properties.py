"""read_json accepts exactly what a slow oracle accepts: duplicates, NUL, depth, 53 bits, surrogates."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.json_values import COUNT, names, values
from support.tokens import b64
from tillit.protocol.errors import Rejected
from tillit.protocol.gate import decode_base64url, read_json


class DuplicateError(Exception):
    """The oracle saw a member twice."""


def oracle(text: bytes) -> Any:
    """Parse with the standard library, telling of duplicates, NUL, depth and numbers the slow way."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in members}) != len(members):
            raise DuplicateError
        return dict(members)

    def constant(_: str) -> Any:
        raise ValueError("not JSON")

    return json.loads(text.decode("utf-8"), object_pairs_hook=pairs, parse_constant=constant)


def strings_and_numbers(value: Any, depth: int = 0) -> tuple[list[str], list[Any], int]:
    """Collect every string, every number and the depth of a value."""
    if isinstance(value, str):
        return [value], [], depth
    if isinstance(value, dict | list):
        strings = list(value) if isinstance(value, dict) else []
        numbers: list[Any] = []
        deepest = depth + 1
        for item in value.values() if isinstance(value, dict) else value:
            found, counted, level = strings_and_numbers(item, depth + 1)
            strings += found
            numbers += counted
            deepest = max(deepest, level)
        return strings, numbers, deepest
    return [], [value] if isinstance(value, int | float) and not isinstance(value, bool) else [], depth


def acceptable(text: bytes, max_depth: int) -> bool:
    """Say what read_json must say, by the oracle."""
    try:
        value = oracle(text)
    except (DuplicateError, ValueError, RecursionError):
        return False
    strings, numbers, depth = strings_and_numbers(value)
    return (
        depth <= max_depth
        and not any("\x00" in item or any("\ud800" <= char <= "\udfff" for char in item) for item in strings)
        and not any(isinstance(number, int) and abs(number) > 2**53 for number in numbers)
        and not any(isinstance(number, float) and math.isinf(number) for number in numbers)
    )


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """Draw JSON text, sometimes with members repeated, in several spellings."""
    value = draw(values)
    pieces = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()), separators=pieces)
    if draw(st.booleans()):
        name = json.dumps(draw(names), ensure_ascii=draw(st.booleans()))
        text = text.replace("{", f"{{{name}:0,", 1) if text.startswith("{") and len(text) > 2 else f"[{text}]"
    return text.encode("utf-8", "surrogatepass")


@COUNT
@given(json_texts(), st.integers(1, 6))
@example(b'{"a":1,"\\u0061":1}', 6)
@example(b'{"a":"\\\\","b":"\\\\\\":","c":{"c":1}}', 6)
@example(b"-0", 6)
@example(b"[0.0,1E5,1e-5,-0.0]", 6)
@example(b"[12345678901234567890e-5]", 6)
def test_read_json_agrees_with_the_oracle(text, max_depth):
    """read_json accepts exactly what an object_pairs_hook detector and slow checks accept, and gives it."""
    if acceptable(text, max_depth):
        assert read_json(text, max_depth=max_depth) == oracle(text)
    else:
        with pytest.raises(Rejected):
            read_json(text, max_depth=max_depth)


def agrees_or_refuses(data: bytes) -> None:
    try:
        value = read_json(data)
    except Rejected:
        return
    assert value == oracle(data)


@COUNT
@given(st.binary(max_size=200))
def test_read_json_survives_octets(data):
    """Any octets give a value that the oracle gives too, or Rejected."""
    agrees_or_refuses(data)


@COUNT
@given(json_texts(), st.integers(0, 400), st.binary(max_size=3))
def test_read_json_survives_broken_json(text, at, junk):
    """JSON with a hole or junk in it never raises anything but Rejected."""
    data = text[: at % (len(text) + 1)] + junk + text[at % (len(text) + 1) :]
    agrees_or_refuses(data)


@COUNT
@given(st.text(max_size=60) | st.text("ABCabc_-.=01", max_size=60))
def test_decoding_is_the_inverse_of_encoding(text):
    """What decodes encodes to the identical text."""
    try:
        data = decode_base64url(text, "x")
    except Rejected:
        return
    assert b64(data) == text
