"""The catalogue of errors and the source say the same."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache

import pytest

from support.pages import DOCS, ROOT, code_words, read, section, tables
from tillit.verifier import refusals

CATALOGUE = read(DOCS / "errors.md")
SERVICE = "## Codes of the token service"
SOURCE = "## Codes of a document source"
FRAMEWORK = "## Prefixes of the trust framework"

CODE = re.compile(r"(invalid|unsupported|unauthorized|insufficient)_[a-z_]+")
OTHER_CODES = {"access_denied", "use_dpop_nonce", "temporarily_unavailable", "server_error"}
MAKES_ERRORS = {"OAuthError", "from_rejected", "_error", "temporarily_unavailable"}
PREFIX = re.compile(r"(ATT|HID)-[A-Z0-9]+(-[A-Z]+)*[a-c]?")
NOT_REFUSALS = {"row", "Remark"}


@cache
def nodes() -> tuple[ast.AST, ...]:
    """Everything written in the application."""
    sources = (ROOT / "app").rglob("*.py")
    return tuple(node for path in sources for node in ast.walk(ast.parse(read(path))))


def calls() -> Iterator[tuple[str, list[str]]]:
    """Every call in the application: the name called, and the text its arguments begin with."""
    for node in nodes():
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", None) or getattr(node.func, "attr", "")
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            yield name, [text for argument in arguments for text in _literal(argument)]


def _literal(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.JoinedStr) and node.values:
        node = node.values[0]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def literals() -> set[str]:
    """Every text in the application."""
    return {node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def codes_in_source() -> set[str]:
    """The OAuth error codes that the application can answer with."""
    by_form = {text for text in literals() if CODE.fullmatch(text) or text in OTHER_CODES}
    by_call = {texts[0] for name, texts in calls() if name in MAKES_ERRORS and texts}
    return by_form | {text for text in by_call if re.fullmatch(r"[a-z_]+", text)}


def remarks_in_source() -> set[str]:
    """The rules that calls of `Remark`, or of what makes either, name."""
    texts = [text for name, texts in calls() if name in {"Remark", "_coded"} for text in texts]
    return {match[0].rstrip("abc") for text in texts if (match := PREFIX.match(text))}


def prefixes_in_source() -> set[str]:
    """The prefixes in the code, without the letter that tells repeated rules apart."""
    found: set[str] = set()
    waiting: list[ast.AST] = [node for node in nodes() if isinstance(node, ast.Module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in NOT_REFUSALS:
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and (match := PREFIX.match(node.value))
        ):
            found.add(match[0].rstrip("abc"))
        waiting += ast.iter_child_nodes(node)
    return found


def first_column(heading: str) -> set[str]:
    """What the first column of the tables under a heading names."""
    return {word for cells in tables(section(CATALOGUE, heading)) for word in code_words(cells[0])}


def refusing_prefixes() -> dict[str, set[str]]:
    """The prefixes on the page that refuse, with the codes they answer with."""
    framework = section(CATALOGUE, FRAMEWORK).partition("### Remarks")[0]
    rows = [*tables(framework), *tables(section(CATALOGUE, "## HID"))]
    return {code_words(cells[0])[0]: set(code_words(cells[1])) for cells in rows if code_words(cells[0])}


def test_every_code_is_in_the_catalogue():
    """No code is missing on the page, and none is invented."""
    assert first_column(SERVICE) | first_column(SOURCE) == codes_in_source()


def test_codes_of_a_document_source_are_those_of_the_verifier():
    """What the page says of document sources is what the verifier can answer."""
    known = {value for name, value in vars(refusals).items() if name.isupper() and isinstance(value, str)}

    assert first_column(SOURCE) == known


def test_every_prefix_is_in_the_catalogue():
    """No prefix of a rule is missing on the page, and none is invented."""
    assert set(refusing_prefixes()) == prefixes_in_source()


def test_every_remark_is_in_the_catalogue():
    """What is only remarked on is listed as that."""
    assert first_column("### Remarks") == remarks_in_source()


def answers() -> set[tuple[str, str]]:
    """What the vectors of the rules expect: prefix and code."""
    return {
        (case["answer"]["prefix"], case["answer"]["error"])
        for path in (ROOT / "tests" / "vectors" / "attestation").glob("*.json")
        for case in json.loads(read(path))["cases"]
        if "answer" in case
    }


@pytest.mark.parametrize(("prefix", "code"), sorted(answers()))
def test_the_catalogue_agrees_with_the_vectors(prefix: str, code: str):
    """A refusal that a vector expects has its code on the page."""
    assert code in refusing_prefixes()[prefix]


def test_every_prefix_has_codes_of_the_catalogue():
    """A prefix answers with codes that the page explains."""
    explained = first_column(SERVICE) | first_column(SOURCE)
    for prefix, codes in refusing_prefixes().items():
        assert codes, prefix
        assert codes <= explained, prefix
