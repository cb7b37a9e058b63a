"""Two sides: the shop sends orders, the kitchen answers each order with a meal.

Each database has tables of the run beside the library's, written in the same transactions:
`written` holds what was committed, `effects` what it caused. The checker trusts these tables.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import psycopg
from sqlalchemy import create_engine

from outbox import Subscription, Topology, schema
from outbox.resend_events import RESENDING

RAISES, EXITS = "raises", "exits"
"""What a poisoned event does to its handler until it is listed in `mended`."""

OWN_TABLES = """
CREATE TABLE ledger (aggregate_id text PRIMARY KEY, last bigint NOT NULL);
CREATE TABLE written (token text PRIMARY KEY, aggregate_id text NOT NULL, number bigint,
                      kind text NOT NULL, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, token text NOT NULL,
                      aggregate_id text NOT NULL, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE mended (token text PRIMARY KEY);
CREATE TABLE outages (ends_at timestamptz NOT NULL);
"""
# A scheduled event has no number: its sequence is drawn later.
WRITE = """
INSERT INTO written (token, aggregate_id, number, kind)
VALUES (%(token)s, %(aggregate)s, %(number)s, %(kind)s)
"""


@dataclass(frozen=True)
class Side:
    """A source, with an exchange of the same name, and the queue that it consumes."""

    name: str
    aggregate_type: str
    queue: str
    source: str
    consumes: str

    @property
    def event_type(self) -> str:
        """The one type of the events that it consumes."""
        return f"{self.consumes}.told"

    @property
    def way_back(self) -> str:
        """The queue by which the other side asks for events again, and answers."""
        return f"{self.name}.streams"

    @property
    def subscriptions(self) -> tuple[Subscription, Subscription]:
        """What its queues take, all of it from the other side."""
        kinds = {self.queue: self.consumes, self.way_back: RESENDING}
        events, requests = (
            Subscription(self.source, queue, self.source, (kind,)) for queue, kind in kinds.items()
        )
        return events, requests


SHOP = Side("shop", "order", "shop.meals", "kitchen", "meal")
KITCHEN = Side("kitchen", "meal", "kitchen.orders", "shop", "order")
SIDES = {side.name: side for side in (SHOP, KITCHEN)}


TOPOLOGY = Topology(
    list(SIDES),
    [subscription for side in SIDES.values() for subscription in side.subscriptions],
    {"everything": timedelta(hours=1)},
)
"""With a stream queue that takes everything, as the services have one: no event comes back."""


@dataclass(frozen=True)
class Event:
    """An event of the run. `number` counts the writes of its aggregate."""

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
class Environment:
    """The two databases and the broker of a run."""

    databases: dict[str, str]
    broker_url: str

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables for the processes of the run."""
        urls = {f"CHAOS_DATABASE_{name.upper()}": url for name, url in self.databases.items()}
        return {**urls, "CHAOS_BROKER": self.broker_url}

    def connect(self, side: Side) -> psycopg.Connection[tuple[object, ...]]:
        """A connection in autocommit."""
        return psycopg.connect(self.databases[side.name], autocommit=True)

    def count(self, side: Side, query: str) -> int:
        """The number that a query of one row and one column gives."""
        with self.connect(side) as connection:
            [(count,)] = connection.execute(query.encode()).fetchall()
        return int(str(count))


def with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def install(url: str) -> None:
    """Create the library's tables and those of the run."""
    engine = create_engine(with_driver(url))
    with engine.begin() as connection:
        schema.create_outbox(connection)
        schema.create_inbox(connection)
        connection.exec_driver_sql(OWN_TABLES)
    engine.dispose()
