"""The events of the bench, and putting many of them into the log in one commit."""

from __future__ import annotations

import time
from dataclasses import dataclass

from psycopg import Connection

from bench.environment import SOURCE, Environment
from outbox import Outbox
from outbox.postgres.notify import DOORBELL

AGGREGATES = 10_000
TYPE, AGGREGATE_TYPE = "order.created", "order"
_BATCH = 1_000
_NUMBER = slice(37, 49)
# From above, where relays come last: cheap to ask again and again while they work.
_OPEN = """
SELECT id FROM outbox WHERE id > %s AND published_at IS NULL ORDER BY id DESC LIMIT 1
"""
_LAST_MARK = """
SELECT extract(epoch FROM max(published_at))::float8 FROM outbox WHERE id > %s
"""


@dataclass(frozen=True)
class OrderCreated:
    """An event of a usual size: 173 bytes of JSON."""

    number: int
    aggregates: int = AGGREGATES
    type: str = TYPE
    version: int = 1
    aggregate_type: str = AGGREGATE_TYPE

    @property
    def aggregate_id(self) -> str:
        return aggregate_id(self.number % self.aggregates)

    def payload(self) -> bytes:
        return payload(self.number)


def aggregate_id(number: int) -> str:
    """Text of a UUID's length."""
    return f"00000000-0000-7000-8000-{number:012d}"


def payload(number: int) -> bytes:
    """Every event's body has the same length."""
    return (
        b'{"order_id":"00000000-0000-7000-8000-%012d","user_id":"user_000001","amount":"140.00",'
        b'"products":[{"product_id":"product_1","quantity":1},{"product_id":"product_2"}]}' % number
    )


def number_of(body: bytes) -> int:
    """The number that `payload` was given."""
    return int(body[_NUMBER])


@dataclass(frozen=True)
class Backlog:
    """Events that were committed together."""

    environment: Environment
    count: int
    after_id: int
    committed_at: float

    def is_published(self, connection: Connection[tuple[object, ...]]) -> bool:
        return connection.execute(_OPEN, [self.after_id]).fetchone() is None

    def seconds(self, connection: Connection[tuple[object, ...]]) -> float:
        """From the commit to the last event's mark, by the clock of this machine."""
        [(last,)] = connection.execute(_LAST_MARK, [self.after_id]).fetchall()
        assert isinstance(last, float)
        return last - self.committed_at


def commit_backlog(environment: Environment, count: int) -> Backlog:
    """Commit so many events at one moment, and ring the relays' doorbell.

    All relays wait with their connections open: what is measured begins with the commit.
    """
    outbox = Outbox(SOURCE)
    with environment.connect() as connection:
        [(last,)] = connection.execute("SELECT coalesce(max(id), 0) FROM outbox").fetchall()
        connection.execute("CHECKPOINT")
        with connection.transaction():
            for first in range(0, count, _BATCH):
                numbers = range(first, min(first + _BATCH, count))
                tail, parameters = outbox.rows(*(OrderCreated(number) for number in numbers))
                connection.execute(f"WITH {tail} SELECT 1".encode(), parameters)
            connection.execute("ANALYZE outbox")
        committed_at = time.time()
        connection.execute(f"NOTIFY {DOORBELL}".encode())
    assert isinstance(last, int)
    return Backlog(environment, count, last, committed_at)
