"""``tillit storage copy``: an installation moves to a server and loses nothing."""

from pathlib import Path

import pytest

from support.backstage import Backstage
from support.postgres import Postgres
from support.service import Service, run_cli


@pytest.fixture
def moving(tmp_path: Path) -> Service:
    """A service that has issued a token, still running."""
    return Service(tmp_path / "data", workers=1)


def test_an_installation_moves_to_a_server(moving: Service, postgres: Postgres, tmp_path: Path):
    """Not while it runs; then clients, keys and audit are there, the audit is whole, and the file is not used again."""
    settings = tmp_path / "tillit.toml"
    url = postgres.migrated_database()
    settings.write_text(f'dev = true\nstorage_url = "{url}"\nissuer = "{moving.issuer}"\n', encoding="utf-8")
    where = ("--config", str(settings), "--data", str(moving.data))
    with moving:
        backstage = Backstage(moving)
        ehr = backstage.client()
        assert ehr.token().status == 200
        backstage.close()
        running = run_cli("storage", "copy", *where, check=False)
    assert (running.returncode, running.stderr.count("\n")) == (2, 1)
    assert "stop it first" in running.stderr

    done = run_cli("storage", "copy", *where)
    assert done.stdout.splitlines()[-1].startswith("intact")
    assert "moved before" in run_cli("storage", "copy", *where, check=False).stderr
    embedded = run_cli("clients", "list", "--data", str(moving.data), check=False)
    assert (embedded.returncode, "storage_url" in embedded.stderr) == (2, True)
    moving.arguments += ["--config", str(settings)]
    with moving:
        assert ehr.token().status == 200
        behind = Backstage(moving, settings)
        assert len(behind.entries("issuer.token.issued", client_id=ehr.client_id)) == 2
        behind.close()

    back = run_cli("storage", "copy", "--back", *where)
    assert "intact" in back.stdout
    assert f"Kept: {moving.data}/replaced_" in back.stdout
    assert ehr.client_id in run_cli("clients", "list", "--data", str(moving.data)).stdout


def test_nothing_is_copied_over_something(moving: Service, postgres: Postgres, tmp_path: Path):
    """A database that holds rows is left as it is."""
    url = postgres.migrated_database()
    settings = tmp_path / "tillit.toml"
    settings.write_text(f'dev = true\nstorage_url = "{url}"\n', encoding="utf-8")
    run_cli("clients", "list", "--data", str(moving.data))
    postgres.command("INSERT INTO removed VALUES ('theirs', 1)", url.partition("@/")[2].partition("?")[0])
    done = run_cli("storage", "copy", "--config", str(settings), "--data", str(moving.data), check=False)

    assert done.returncode == 2
    assert "empty database" in done.stderr
