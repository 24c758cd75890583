"""The command line: ``tillit --help`` lists the commands.

It owns arguments, tables and exit codes. Every command imports the rooms it needs when it runs.
"""

import sys

_SERVER_EXTRA = {"click", "flask", "granian", "authlib", "werkzeug", "alembic", "psycopg", "sqlalchemy"}


def main() -> None:
    """Run the command line; says how to install what a library-only installation lacks."""
    try:
        from tillit_server.cli.commands import tillit

        # A command imports the rooms it needs when it runs, so what is missing may be found only then.
        tillit.main(prog_name="tillit")
    except ModuleNotFoundError as missing:
        if (missing.name or "").split(".")[0] not in _SERVER_EXTRA:
            raise
        sys.exit(f'{missing.name} is not installed: pip install "tillit[server]"')
