"""Scope values: the grammar of RFC 6749 section 3.3."""

import pytest

from tillit.protocol.errors import Rejected
from tillit.protocol.scope import parse_scope


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", ()),
        ("a", ("a",)),
        ("openid nhn:phr/mhd/read-document", ("openid", "nhn:phr/mhd/read-document")),
        ("b a b", ("b", "a")),
        ("!#[]~", ("!#[]~",)),
        ("Case case", ("Case", "case")),
    ],
)
def test_scopes_that_are_read(text, values):
    """Values in order, once each."""
    assert parse_scope(text) == values
    assert parse_scope(" ".join(values)) == values


@pytest.mark.parametrize(
    "text", [" ", " a", "a ", "a  b", "a\tb", "a\nb", 'a"b', "a\\b", "å", "a\x7f", "a\x00", "a" * 4097]
)
def test_scopes_that_are_refused(text):
    """Other white space, quotation marks, backslashes and other languages are refused."""
    with pytest.raises(Rejected):
        parse_scope(text)
