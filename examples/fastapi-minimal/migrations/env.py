"""Alembic runs this. It must not see the day partitions, which the library creates and drops."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from outbox.alembic import include_name
from tables import SQLALCHEMY_URL, Base

with create_engine(SQLALCHEMY_URL).connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name(),
    )
    with context.begin_transaction():
        context.run_migrations()
