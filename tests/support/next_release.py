"""The releases after this one, made of a copy of it: what an upgrade from host to host leads to.

The second adds a column and writes it (it expands); the third counts on the column (it contracts).
"""

import re
import shutil
from pathlib import Path

from support.pages import ROOT

_EXPAND = '''"""The second schema: who wrote a record."""

from alembic import op

revision = "{schema:04}"
down_revision = "{before:04}"


def upgrade() -> None:
    """Whoever knows nothing of the column leaves it empty."""
    op.execute("ALTER TABLE record ADD COLUMN written_by text")
'''
_CONTRACT = '''"""The third schema: every record says who wrote it."""

from alembic import op
from tillit_server.storage.sql_schema import raise_floor

revision = "{schema:04}"
down_revision = "{before:04}"


def upgrade() -> None:
    """No release that would leave the column empty may go on."""
    raise_floor(op.get_bind(), {before})
    # First, or it and a settlement would wait for each other.
    op.execute("LOCK TABLE record")
    op.execute("UPDATE record SET written_by = '0.1.0' WHERE written_by IS NULL")
    op.execute("ALTER TABLE record ALTER COLUMN written_by SET NOT NULL")
'''
_STEPS = {2: _EXPAND, 3: _CONTRACT}


def version(number: int) -> str:
    """What a release calls itself: this one is the first."""
    return f"0.{number}.0"


def make_release(number: int, place: Path) -> Path:
    """Release `number` (2 or 3) of this tree, at `place`, as a clone of it would be; its `app` directory."""
    for name in ("app", "config", "docs/examples"):
        shutil.copytree(
            ROOT / name, place / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, place / name)
    storage = place / "app" / "tillit_server" / "storage"
    by = f"(SELECT '{version(number)}') AS writer"
    ours = int(re.search(r"^SCHEMA = (\d+)$", (storage / "sql_schema.py").read_text(), re.MULTILINE)[1])
    for release in range(2, number + 1):
        schema = ours + release - 1
        text = _STEPS[release].format(schema=schema, before=schema - 1)
        (storage / "migrations" / "versions" / f"schema_{schema:04}.py").write_text(text)
    _edit(storage / "sql_schema.py", f"SCHEMA = {ours}\n", f"SCHEMA = {ours + number - 1}\n")
    statements = storage / "sql_statements.py"
    _edit(statements, " value, version, until)", " value, version, until, written_by)")
    _edit(statements, "AS double precision[]))", f"AS double precision[])) AS ours, {by}")
    _edit(statements, "until = excluded.until", "until = excluded.until, written_by = excluded.written_by")
    _edit(place / "app" / "tillit" / "__init__.py", '"0.1.0"', f'"{version(number)}"')
    _edit(place / "pyproject.toml", 'version = "0.1.0"', f'version = "{version(number)}"')
    return place / "app"


def _edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{file.name}: {old}"
    file.write_text(text.replace(old, new), encoding="utf-8")
