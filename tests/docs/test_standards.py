"""The page of standards points at functions and tests that exist."""

import ast
import importlib
from functools import cache

import pytest

from support.pages import DOCS, ROOT, code_words, read, tables

ROWS = [cells for cells in tables(read(DOCS / "standards.md")) if code_words(cells[-1])]
DEMANDED = {
    *("RFC 6749", "RFC 6750", "RFC 7515", "RFC 7517", "RFC 7519", "RFC 7521", "RFC 7523", "RFC 7638"),
    *("RFC 8037", "RFC 8414", "RFC 8707", "RFC 8725", "RFC 9068", "RFC 9101", "RFC 9396", "RFC 9449"),
    "FAPI 2.0",
}


@cache
def functions_in(file: str) -> frozenset[str]:
    """The tests of a file."""
    tree = ast.parse(read(ROOT / file))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_standard_has_rows():
    """No standard that we claim to follow is without a function and a test."""
    named = {" ".join(cells[0].split()[:2]) for cells in ROWS}

    assert named >= DEMANDED


@pytest.mark.parametrize("cells", ROWS, ids=[cells[0] for cells in ROWS])
def test_every_row_holds(cells: list[str]):
    """Each function can be imported, and each test exists."""
    _, asks, functions, tests = cells

    assert asks.endswith(".")
    for function in code_words(functions):
        module, _, name = function.rpartition(".")
        assert hasattr(importlib.import_module(module), name), function
    assert code_words(functions)
    for test in code_words(tests):
        file, _, name = test.partition("::")
        assert name in functions_in(file), test
