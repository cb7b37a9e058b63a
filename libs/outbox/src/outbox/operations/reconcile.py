"""A producer's streams against a consumer's inbox: every event that should be there and is not.

A gap shows by itself when the next event arrives; the loss of a stream's last events does not.
Comparing how far both sides have come finds both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from outbox.operations.database import Connection
from outbox.operations.missing_events import Hole, ahead, holes_of
from outbox.operations.stream_pairs import Pair, paired
from outbox.rabbitmq.subscription import Subscribed

GRACE = 10.0
DETAILED = 1_000

Taken = dict[str, set[tuple[str, str]]]
"""By consumer: sources and aggregate types."""


@dataclass
class Reconciliation:
    """One consumer against one producer. Details are kept for the first `DETAILED` streams."""

    consumer: str
    kinds: list[str]
    streams: int = 0
    behind: int = 0
    waiting: int = 0
    unpublished: int = 0
    under_way: int = 0
    holes: list[Hole] = field(default_factory=list)
    complete: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that will not come by itself."""
        return not self.holes and self.complete


@dataclass(frozen=True, slots=True)
class Compared:
    """All consumers, and the streams that none of them takes.

    `uncompared` is what should have been compared and was not: a name with a slip in it, a queue
    that nobody here has ever consumed, or all, where no consumer is known.
    """

    results: list[Reconciliation]
    untaken: list[str]
    uncompared: list[str]
    assumed: bool
    """That nobody said what a consumer subscribes to: what it has taken before was compared."""

    @property
    def is_whole(self) -> bool:
        """Whether no consumer has a hole, and every one was looked at."""
        return not self.uncompared and all(result.is_whole for result in self.results)


async def reconcile(
    producer: Connection,
    consumer: Connection,
    *,
    consumers: Collection[str] = (),
    aggregate_types: Collection[str] = (),
    subscriptions: Iterable[Subscribed] | None = None,
    grace: float = GRACE,
) -> Compared:
    """Compare every consumer with every stream that it is meant to take.

    Which that are, its `subscriptions` say. Without any it is assumed to be what the consumer has
    taken before. `consumers` and `aggregate_types` limit; both together say all that is to be
    compared. Published less than `grace` seconds ago is under way, not missing.
    """
    known = await _kinds(producer, "SELECT DISTINCT source, aggregate_type FROM outbox_streams")
    produced = {kind for kind in known if not aggregate_types or kind[1] in aggregate_types}
    taken = await _taken(consumer)
    strangers: set[str] = set()
    if subscriptions is not None:
        meant = {name: kinds & produced for name, kinds in _meant(subscriptions).items()}
        strangers = {name for name, kinds in meant.items() if kinds and name not in taken}
        taken = {name: kinds for name, kinds in meant.items() if name in {*taken, *consumers}}
    if consumers:
        named = produced if aggregate_types else set[tuple[str, str]]()
        taken = {name: taken.get(name, set()) | named for name in consumers}
        strangers = set()
    compared = {name: kinds & produced for name, kinds in sorted(taken.items()) if kinds & produced}
    results = [
        await _compare(producer, consumer, name, kinds, grace) for name, kinds in compared.items()
    ]
    missed = _missed(compared, {*consumers, *strangers}, aggregate_types) if known else []
    untaken = sorted(f"{source}/{kind}" for source, kind in produced - _all(taken))
    return Compared(results, untaken, missed, assumed=subscriptions is None)


def _meant(subscriptions: Iterable[Subscribed]) -> Taken:
    meant: Taken = {}
    for one in subscriptions:
        kinds = {(one.source, kind) for kind in one.aggregate_types}
        meant.setdefault(one.queue, set()).update(kinds)
    return meant


def _missed(
    compared: Taken, consumers: Collection[str], aggregate_types: Collection[str]
) -> list[str]:
    """What was asked for and is not among the compared."""
    missed = {*consumers} - {*compared}
    missed |= {*aggregate_types} - {kind for _, kind in _all(compared)}
    return sorted(missed) or ([] if compared else ["any consumer"])


def _all(taken: Taken) -> set[tuple[str, str]]:
    return {kind for kinds in taken.values() for kind in kinds}


async def _compare(
    producer: Connection, consumer: Connection, name: str, kinds: set[tuple[str, str]], grace: float
) -> Reconciliation:
    found = Reconciliation(name, sorted(f"{source}/{kind}" for source, kind in kinds))
    behind: list[Pair] = []
    before: list[Pair] = []
    async for pair in paired(producer, consumer, name, kinds):
        found.streams += 1
        if pair.applied < pair.last:
            found.behind += 1
            behind.append(pair) if len(behind) < DETAILED else None
        elif pair.applied > pair.last and len(before) < DETAILED:
            before.append(pair)
    found.complete = found.behind == len(behind)
    details = await holes_of(producer, consumer, name, behind, grace)
    found.waiting, found.unpublished = details.waiting, details.unpublished
    found.under_way = details.under_way
    found.holes = [*details.holes, *await ahead(producer, before)]
    return found


async def _kinds(connection: Connection, query: str) -> set[tuple[str, str]]:
    cursor = await connection.execute(query)
    return {(source, kind) for source, kind in await cursor.fetchall()}


async def _taken(connection: Connection) -> Taken:
    cursor = await connection.execute("SELECT DISTINCT consumer, source, aggregate_type FROM inbox")
    taken: Taken = {}
    for name, source, kind in await cursor.fetchall():
        taken.setdefault(name, set()).add((source, kind))
    return taken
