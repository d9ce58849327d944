"""Alembic's entry: run the revisions in the transaction that ``dpip.datastore.migrate`` has begun."""

from alembic import context

from dpip.datastore.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
