"""Run by Alembic; all of it is in servicekit."""

import service_orders.domains  # noqa: F401 declares the tables
from outbox.schema import is_ours
from service_orders.metadata import metadata
from service_orders.settings import DATABASE_VARIABLE
from servicekit.migrations import run_env

run_env(
    metadata,
    DATABASE_VARIABLE,
    include_name=lambda name, kind, _: kind != "table" or not is_ours(name or ""),
)
