"""The table of metrics names each that there is, and says when to wake somebody."""

import ast
from pathlib import Path

from support.pages import DOCS, ROOT, code_words, read, section, tables
from tillit_server.metrics import Meters
from tillit_server.serving.worker_report import OF_SERVERS

SERVING = ROOT / "app" / "tillit_server" / "serving"


def documented() -> dict[str, list[str]]:
    """The rows of the table by metric."""
    rows = tables(section(read(DOCS / "operating.md"), "## Health and metrics"))
    return {name: cells for cells in rows for name in code_words(cells[0]) if name.startswith("tillit_")}


def gauges(file: Path) -> set[str]:
    """The names that a file gives to readings."""
    calls = [node for node in ast.walk(ast.parse(read(file))) if isinstance(node, ast.Call)]
    named = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "gauge"]
    return {name.value for name in named if isinstance(name, ast.Constant)}


def test_every_metric_has_its_row():
    """No metric is missing on the page, and none is invented; each says when somebody should be woken."""
    counted = {family.name + ("_total" if family.type == "counter" else "") for family in Meters().read()}
    read_out = {name for file in SERVING.glob("*.py") for name in gauges(file)}
    of_servers = {f"tillit_{name}" for name in OF_SERVERS}
    assert set(documented()) == counted | read_out | of_servers
    for name, cells in documented().items():
        assert len(cells) == 3, name
        assert all(cells), name
