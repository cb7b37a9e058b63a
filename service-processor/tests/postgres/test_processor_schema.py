"""The migrations lead to exactly the tables that the code declares."""

from __future__ import annotations

import subprocess
import sys

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from outbox.alembic import include_name
from service_processor import bootstrap
from service_processor.metadata import metadata
from servicekit.process.urls import PostgresUrl


def test_migrations_and_models_agree(migrated: PostgresUrl) -> None:
    engine = create_engine(migrated.sqlalchemy)
    with engine.connect() as connection:
        options = {"include_name": include_name()}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert found == [], 'write a migration: make migration SERVICE=processor M="…"'


def test_the_schema_can_be_taken_back_to_nothing(migrated: PostgresUrl) -> None:
    engine = create_engine(migrated.sqlalchemy)
    taken_back = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", str(bootstrap.SERVICE.ini), "downgrade", "base"],
        env={bootstrap.SERVICE.database_variable: migrated},
        capture_output=True,
        text=True,
        check=False,
    )
    assert taken_back.returncode == 0, taken_back.stderr
    with engine.connect() as connection:
        left = connection.exec_driver_sql(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).scalars()
        assert list(left) == ["alembic_version"]
    engine.dispose()
