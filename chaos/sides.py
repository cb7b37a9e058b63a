"""Two sides that talk to each other: the shop orders, the kitchen answers each order with a meal.

Beside the library's tables each database has the truth of the run's own, written in the same
transactions: `written` says what was committed, `effects` what it led to. The checker trusts these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from uuid import uuid4

import psycopg
from sqlalchemy import create_engine

from outbox import Subscription, Topology, schema

RAISES, EXITS = "raises", "exits"
"""What an event does to its handler until somebody has mended it."""

OWN_TABLES = """
CREATE TABLE ledger (aggregate_id text PRIMARY KEY, last bigint NOT NULL);
CREATE TABLE written (token text PRIMARY KEY, aggregate_id text NOT NULL, number bigint,
                      kind text NOT NULL, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token text NOT NULL,
                      aggregate_id text NOT NULL, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE mended (token text PRIMARY KEY);
CREATE TABLE stolen (token text PRIMARY KEY);
"""
# A token has no number when its place is only drawn later: it was scheduled.
WRITE = """
INSERT INTO written (token, aggregate_id, number, kind)
VALUES (%(token)s, %(aggregate)s, %(number)s, %(kind)s)
"""


@dataclass(frozen=True)
class Side:
    """A source with its exchange of the same name, and the queue that it takes."""

    name: str
    aggregate_type: str
    queue: str
    takes_of: str
    takes: str


SHOP = Side("shop", "order", "shop.meals", "kitchen", "meal")
KITCHEN = Side("kitchen", "meal", "kitchen.orders", "shop", "order")
SIDES = {side.name: side for side in (SHOP, KITCHEN)}


TOPOLOGY = Topology(
    list(SIDES),
    [
        Subscription(
            exchange=side.takes_of,
            queue=side.queue,
            source=side.takes_of,
            aggregate_types=(side.takes,),
        )
        for side in SIDES.values()
    ],
)


@dataclass(frozen=True)
class Told:
    """An event of the run; `number` is its place among the writes of its aggregate."""

    aggregate_type: str
    aggregate_id: str
    number: int | None = None
    kind: str = ""
    token: str = field(default_factory=lambda: uuid4().hex)
    version: int = 1

    @property
    def type(self) -> str:
        return f"{self.aggregate_type}.told"

    def payload(self) -> bytes:
        return json.dumps({"token": self.token, "kind": self.kind}).encode()

    @property
    def row(self) -> dict[str, object]:
        """For `WRITE`."""
        return {
            "token": self.token,
            "aggregate": self.aggregate_id,
            "number": self.number,
            "kind": self.kind,
        }


@dataclass(frozen=True)
class Place:
    """Where a run happens."""

    databases: dict[str, str]
    broker_url: str

    @property
    def environment(self) -> dict[str, str]:
        """For processes of the run."""
        urls = {f"CHAOS_DATABASE_{name.upper()}": url for name, url in self.databases.items()}
        return {**urls, "CHAOS_BROKER": self.broker_url}

    def connect(self, side: Side) -> psycopg.Connection[tuple[object, ...]]:
        """In autocommit."""
        return psycopg.connect(self.databases[side.name], autocommit=True)


def with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def install(url: str) -> None:
    """Create the library's tables, and those of the run."""
    engine = create_engine(with_driver(url))
    with engine.begin() as connection:
        schema.create_outbox(connection)
        schema.create_inbox(connection)
        connection.exec_driver_sql(OWN_TABLES)
    engine.dispose()
