"""Run by Alembic; all of it is in servicekit."""

import service_processor.bootstrap  # noqa: F401 declares the tables
from outbox.alembic import include_name
from service_processor.metadata import metadata
from service_processor.settings import DATABASE_VARIABLE, OWNER_VARIABLE
from servicekit.database.migrations import run_env

run_env(metadata, OWNER_VARIABLE, DATABASE_VARIABLE, include_name=include_name())
