"""What Alembic runs: all steps that are missing, in one transaction, on the connection it was handed."""

from alembic import context
from sqlalchemy import text

from tillit_server.storage.sql_schema import MIGRATION_LOCK, VERSION_TABLE

connection = context.config.attributes["connection"]
context.configure(connection=connection, version_table=VERSION_TABLE)
with context.begin_transaction():
    # One host at a time; the others find nothing left to do.
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    context.run_migrations()
