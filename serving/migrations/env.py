"""Alembic's entry: migrates over the connection it is given, inside the transaction that is open on it."""

from alembic import context

from serving.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
