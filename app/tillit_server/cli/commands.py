"""All commands, mounted on one page."""

import click

from tillit_server.cli.attest import attest
from tillit_server.cli.audit import audit
from tillit_server.cli.backup import backup, restore
from tillit_server.cli.clients import clients
from tillit_server.cli.config import config
from tillit_server.cli.demo import demo
from tillit_server.cli.doctor import doctor
from tillit_server.cli.keys import keys
from tillit_server.cli.migrate import migrate
from tillit_server.cli.serve import serve
from tillit_server.cli.storage import storage
from tillit_server.cli.tokens import explain, token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tillit", prog_name="tillit")
def tillit() -> None:
    """Tillit: tokens that say who asks, for which enterprise, and why."""


for command in (serve, demo, clients, token, explain, attest, keys, audit):
    tillit.add_command(command)
for command in (backup, restore, migrate, storage, config, doctor):
    tillit.add_command(command)
