"""Bringing a database to the schema of this release, with Alembic."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from tillit_server.storage.ports import StorageUnavailable

_CONNECT_SECONDS = 5


def migrate_up(url: str) -> None:
    """Take every step that is missing, all or none; nothing to do is no error.

    Waits for another host that is at it. Raises `StorageUnavailable`.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, connect_timeout=_CONNECT_SECONDS),
        poolclass=NullPool,
    )
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        first = str(error.orig).strip().splitlines()[0]
        raise StorageUnavailable(f"the database cannot be migrated: {first}") from error
