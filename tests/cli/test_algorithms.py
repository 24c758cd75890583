"""An algorithm that is enabled later is announced first; until it signs, nobody is registered who needs it."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from support.starting import Setup, copied
from tillit.protocol.jose import generate_key
from tillit_server.cli.commands import tillit

DAY = 86_400
API = """
[[api]]
audience = "example:other"
scopes = ["example:other/read"]
signing_algorithm = "PS256"
"""


class Shop:
    """An installation a month old, whose owner wants another algorithm."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.file = setup.home / "tillit.toml"
        self.start = time.time() + 30 * DAY
        self.passed(0)
        jwks = json.dumps(dict(generate_key("ES256").public.jwk))
        (setup.home / "client.jwk").write_text(jwks, encoding="utf-8")
        self.settings("ES256", "RS256")
        self.setup.build()
        self.settings("ES256", "RS256", "PS256")

    def settings(self, *algorithms: str) -> None:
        """Write the settings file."""
        places = f'config = "{self.setup.config}"\nclock = "{self.setup.clock}"\n'
        self.file.write_text(f"{places}algorithms = {json.dumps(algorithms)}\n", encoding="utf-8")

    def passed(self, seconds: float) -> None:
        """So much time has passed."""
        self.setup.clock.write_text(f"{self.start + seconds:.0f}", encoding="ascii")

    def run(self, *arguments: str) -> Result:
        """Run a command."""
        place = ("--data", str(self.setup.data), "--config", str(self.file))
        return CliRunner(env={"TILLIT_DEV": "true"}).invoke(tillit, [*arguments, *place])

    def add_client(self) -> Result:
        """Register a client that wants its ID tokens signed with PS256."""
        command = ["clients", "add", "--id", "modern", "--jwks", str(self.setup.home / "client.jwk")]
        command += ["--legal-entity", "310000019", "--grant", "authorization_code", "--scope", "openid"]
        return self.run(*command, "--redirect-uri", "https://ehr.example/", "--id-token-alg", "PS256")

    def add_api(self) -> None:
        """Define an API that wants its tokens signed with PS256."""
        (self.setup.config / "apis" / "other.toml").write_text(API, encoding="utf-8")


@pytest.fixture
def shop(made: Setup, tmp_path: Path) -> Shop:
    return Shop(copied(made, tmp_path))


def test_a_client_that_needs_an_announced_algorithm_has_to_wait(shop: Shop):
    """One line with the instant, the same the next time; a day later it is registered."""
    refused = shop.add_client()
    assert refused.exit_code == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("clients: id_token_signed_response_alg: PS256 is announced and signs from 20")
    shop.passed(DAY / 2)
    assert shop.add_client().stderr.splitlines() == [line]
    rows = json.loads(shop.run("keys", "list", "--output", "json").stdout)
    first = next(row["signs from"] for row in rows if row["alg"] == "PS256")
    assert f"signs from {first};" in line
    shop.passed(DAY + 2)
    assert shop.add_client().exit_code == 0


def test_an_api_that_needs_an_announced_algorithm_has_to_wait(shop: Shop):
    """The start is refused in one line with the instant, and with it everything else; a day later it starts."""
    shop.add_api()
    refused = shop.run("keys", "list")
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("tillit: refusing to start: example:other: signing_algorithm: PS256 is announced")
    shop.passed(DAY + 2)
    assert shop.run("keys", "list").exit_code == 0
