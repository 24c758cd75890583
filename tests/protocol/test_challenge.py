"""Challenges: one out, any number in."""

import pytest

from tillit.protocol.challenge import make_challenge, parse_challenge
from tillit.protocol.errors import Rejected


def test_a_challenge_we_make_is_one_we_read():
    """Attributes keep their order and come back as they were."""
    text = make_challenge("DPoP", "invalid_token", "The token has expired.", algs="ES256 PS256")
    assert (
        text == 'DPoP error="invalid_token", error_description="The token has expired.", algs="ES256 PS256"'
    )
    (challenge,) = parse_challenge(text)
    assert (challenge.scheme, challenge.error) == ("DPoP", "invalid_token")
    assert challenge.attributes["algs"] == "ES256 PS256"
    assert make_challenge("DPoP") == "DPoP"
    assert parse_challenge(make_challenge("DPoP", algs="ES256"))[0].error is None


def test_nothing_breaks_out_of_a_challenge():
    """Quotation marks, line breaks and other languages are replaced."""
    text = make_challenge("DPoP", 'a"b', "x\r\nSet-Cookie: y\\ø")
    assert text == 'DPoP error="a\'b", error_description="x??Set-Cookie: y/?"'
    with pytest.raises(ValueError, match="not an attribute name"):
        make_challenge("DPoP", **{"a b": "c"})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("DPoP", [("DPoP", {})]),
        ("DPoP, Bearer", [("DPoP", {}), ("Bearer", {})]),
        ('Bearer realm="a, b=c", error=x', [("Bearer", {"realm": "a, b=c", "error": "x"})]),
        (
            'Bearer realm="a", DPoP algs="ES256", error="y"',
            [("Bearer", {"realm": "a"}), ("DPoP", {"algs": "ES256", "error": "y"})],
        ),
        ('dpop Error = "x"', [("dpop", {"error": "x"})]),
        (r'DPoP error="a\"b\\"', [("DPoP", {"error": 'a"b\\'})]),
        ("DPoP a=1,, b=2 ,", [("DPoP", {"a": "1", "b": "2"})]),
        (
            'DPoP a=1, Bearer, Basic realm="r"',
            [("DPoP", {"a": "1"}), ("Bearer", {}), ("Basic", {"realm": "r"})],
        ),
    ],
)
def test_headers_that_are_read(header, expected):
    """Several challenges, tokens and quoted strings, empty list elements."""
    assert [(c.scheme, c.attributes) for c in parse_challenge(header)] == expected


@pytest.mark.parametrize(
    "header",
    [
        "=",
        "a=1",
        'DPoP a="x',
        "DPoP a=",
        "DPoP a=1 b=2",
        "DPoP a=1, a=2",
        "DPoP a=ø",
        "Negotiate dG9rZW42OA==",
        'DPoP a="\n"',
        "D" * 5000,
    ],
)
def test_headers_that_are_refused(header):
    """What is no list of challenges is refused."""
    with pytest.raises(Rejected):
        parse_challenge(header)
