"""Databases whose clock a test sets forward.

What they ask for the time is found before PostgreSQL's own function of the same name (PostgreSQL,
"The System Catalog Schema").
"""

from __future__ import annotations

import psycopg

from kit.outbox.world import World, install

CLOCK = """
CREATE SCHEMA clock;
CREATE TABLE clock.ahead (by interval);
INSERT INTO clock.ahead VALUES ('0');
"""
FUNCTION = """
CREATE FUNCTION clock.{0}() RETURNS timestamptz LANGUAGE sql
    AS 'SELECT pg_catalog.{0}() + by FROM clock.ahead';
"""
FUNCTIONS = ("clock_timestamp", "statement_timestamp", "transaction_timestamp", "now")
FIRST = "ALTER DATABASE {} SET search_path = clock, pg_catalog, public"


def install_with_clock(url: str) -> None:
    """All tables of the library, whose defaults tell the time by the clock."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCK + "".join(map(FUNCTION.format, FUNCTIONS)))
        connection.execute(FIRST.format(connection.info.dbname))
    install(url)


def use_clock(url: str) -> None:
    """Connections from now on tell the time by the clock: a copied database has no settings."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FIRST.format(connection.info.dbname))


async def hours_pass(world: World, hours: int) -> None:
    """At once, for everybody."""
    await world.execute("UPDATE clock.ahead SET by = by + make_interval(hours => %s)", hours)
