"""Run by Alembic; all of it is in servicekit."""

import service_orders.domains  # noqa: F401 declares the tables
from outbox.alembic import include_name
from service_orders.domains.rentals.housekeeping import no_day_of_rentals
from service_orders.metadata import metadata
from service_orders.settings import DATABASE_VARIABLE, OWNER_VARIABLE
from servicekit.database.migrations import run_env

run_env(metadata, OWNER_VARIABLE, DATABASE_VARIABLE, include_name=include_name(no_day_of_rentals))
