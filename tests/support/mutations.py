"""Hypothesis strategies that start from something good and spoil it."""

import copy
import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from support.json_values import values

# What parsers stumble over: quotes, escapes, separators, half characters, numbers at an edge.
TRICKY = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"\0", b"\\u0000", b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"\xc0\xaf",
    b"9007199254740993", b"1e400", b"NaN", b"-0", b".", b"=", b"-", b"_", b"+", b"/", b"%", b"%0", b"%00", b"%zz", b"&", b";", b" ",
    b"\r\n", b'"alg":"none",', b'"crit":["b64"],', b'"iat":1e9,', b"null", b"true", b"\xe2\x80\xae",
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Octets that were good until a few pieces were cut out, put in, doubled or moved."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(TRICKY) | st.binary(max_size=6) | st.just(data[at:end]))
        data = data[:at] + piece + data[draw(st.sampled_from((at, end))) :]
    return data


@st.composite
def altered(draw: st.DrawFn, documents: Sequence[Any], others: st.SearchStrategy[Any] = values) -> Any:
    """A JSON document in which a few members have become something else, were lost, or came from elsewhere."""
    document = copy.deepcopy(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(document))
        if not places:
            return draw(others)
        parent, key = draw(st.sampled_from(places))
        change = draw(st.sampled_from(("replace", "remove", "move", "wrap", "spell")))
        if change == "remove":
            del parent[key]
        elif change == "move":
            other, name = draw(st.sampled_from(places))
            parent[key] = copy.deepcopy(other[name])
        elif change == "wrap":
            parent[key] = draw(
                st.sampled_from(([parent[key]], {"value": parent[key]}, json.dumps(parent[key])))
            )
        elif change == "spell" and isinstance(parent[key], str):
            text = parent[key]
            spellings = (
                text.upper(),
                f" {text}",
                text[:-1],
                text + text,
                text.replace(":", "_"),
                f"{text}\u200b",
            )
            parent[key] = draw(st.sampled_from(spellings))
        else:
            parent[key] = draw(others)
    return document


def _places(document: Any) -> Any:
    keys = (
        document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    )
    for key in keys:
        yield document, key
        yield from _places(document[key])
