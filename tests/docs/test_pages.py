"""What the pages name exists: links, places, commands, options, and code that runs."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import click
import pytest

from support.pages import DOCS, ROOT, blocks, code_words, pages, prose, read, section, tables
from tillit_server.cli.commands import tillit

PAGES = [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages()]
# Pages that a program writes, or that are filled to the width of the source.
WRAPPED = re.compile(r"docs/(rules|development-data)\.md|docs/evidence/.*|keys/.*|docs/decisions/0001-.*")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", prose(read(page)), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.replace("`", "")).strip().lower() for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: Path):
    """A link to a page, a file or a heading of the repository finds it."""
    for link in LINK.finditer(prose(read(page))):
        target, _, anchor = link["target"].partition("#")
        if target.startswith("https://"):
            continue
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), link["target"]
        assert place.is_relative_to(ROOT), link["target"]
        if anchor:
            assert anchor in anchors(place), link["target"]


def test_every_page_can_be_reached_from_the_readme():
    """A reader who follows links finds every page."""
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = [link["target"].partition("#")[0] for link in LINK.finditer(prose(read(page)))]
        places = [(page.parent / target).resolve() for target in targets if target.endswith(".md")]
        waiting += [place for place in places if place.is_relative_to(ROOT)]

    assert set(pages()) - reached == set()


@pytest.mark.parametrize("page", [page for page in PAGES if not WRAPPED.fullmatch(str(page.id))])
def test_one_sentence_on_a_line(page: Path):
    """Prose has a sentence on each line, so that a change shows as what it is."""
    paragraphs = [line for line in prose(read(page)).splitlines() if re.match(r"[A-Z*`\[]", line)]
    two = [
        line
        for line in paragraphs
        if re.search(r"[a-z)`]\. [A-Z]", line) and not line.startswith(("- ", "|"))
    ]

    assert two == []


def finding_things() -> list[tuple[str, str]]:
    """The files and attributes that the table on the index page names."""
    found: list[tuple[str, str]] = []
    for _, place in tables(section(read(DOCS / "index.md"), "## Finding things")):
        path = ""
        for word in code_words(place):
            if "/" in word:
                path = word
                found.append((path, ""))
            else:
                found.append((path, word))
    return found


@pytest.mark.parametrize(("path", "attribute"), finding_things())
def test_every_place_of_the_table_exists(path: str, attribute: str):
    """A newcomer who looks where the table says finds the file and the name in it."""
    if not attribute:
        root = ROOT / "app" if path.startswith("tillit") else ROOT
        assert (root / path).exists()
        return
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    assert hasattr(module, attribute)


def typed_commands() -> list[tuple[str, str]]:
    """Every `tillit` command in the shell blocks of the pages, continued lines joined."""
    return [
        (page.relative_to(ROOT).as_posix(), line.strip())
        for page in pages()
        for block in blocks(read(page), "sh")
        for line in block.code.replace("\\\n", " ").splitlines()
        if line.strip().startswith("tillit ")
    ]


@pytest.mark.parametrize(("page", "line"), typed_commands())
def test_every_command_and_option_exists(page: str, line: str):
    """A command that a page shows has the subcommands and options that it is shown with."""
    words = line.partition("#")[0].split()[1:]
    command: click.Command = tillit
    while isinstance(command, click.Group):
        assert words, f"{page}: {line}"
        command = command.commands[words.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    given = {word for word in words if word.startswith("--")}
    assert given <= known, page


def test_every_option_in_a_sentence_exists():
    """An option of the command line that a page speaks of exists somewhere."""
    known: set[str] = {"--data-urlencode", "--help"}
    waiting: list[click.Command] = [tillit]
    while waiting:
        command = waiting.pop()
        waiting += command.commands.values() if isinstance(command, click.Group) else []
        known |= {name for parameter in command.params for name in parameter.opts}
    spoken = {
        word
        for page in pages()
        if page.parent.name != "decisions"
        for span in re.findall(r"`([^`\n]+)`", prose(read(page)))
        for word in re.findall(r"(?<![\w-])--[a-z0-9][a-z0-9-]*", span)
    }

    of_others = {"--strict", "--only", "--rounds", "--into"}  # mypy, the benchmarks
    assert spoken <= known | of_others


PYTHON = [
    pytest.param(block.code, id=f"{page.relative_to(ROOT).as_posix()}-{number}")
    for page in pages()
    for number, block in enumerate(blocks(read(page), "python"))
]


@pytest.mark.parametrize("code", PYTHON)
def test_python_on_a_page_is_right(code: str):
    """An example compiles, imports what exists, and calls it with arguments that it takes."""
    tree = ast.parse(code)
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tillit"):
            module = importlib.import_module(node.module or "")
            names |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    for call in calls:
        called = names.get(call.func.id)
        if callable(called) and not (isinstance(called, type) and issubclass(called, Exception)):
            keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            inspect.signature(called).bind(*[None for _ in call.args], **keywords)


def test_json_on_a_page_is_json():
    """What a page shows as JSON can be parsed."""
    import orjson

    shown = [block.code for page in pages() for block in blocks(read(page), "json")]

    assert shown
    for code in shown:
        orjson.loads(code)
