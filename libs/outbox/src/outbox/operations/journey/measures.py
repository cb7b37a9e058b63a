"""How long stages usually take, and which events took the longest.

Invariant: all figures come from samples whose size is bounded, whatever the load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import quantiles
from uuid import UUID

from outbox.inbox import journey_queries as sql
from outbox.inbox.journey_queries import SampledEvent, SlowEvent
from outbox.log.journey_queries import WrittenEvent
from outbox.operations.database import Connection
from outbox.operations.journey.databases import JourneyDatabase
from outbox.operations.journey.found import Journey, Usual
from outbox.operations.journey.naming import Moment, merged
from outbox.operations.journey.stages import Times

HOUR = 3600
SLICES, EACH = 20, 2
"""A sample has so many transactions of each of so many slices of the hour."""
TOTAL = "in all"
_EXACTLY = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Slow:
    """An event that took long from its commit to its effect. No `event`: its row is not here."""

    database: str
    consumer: str
    event_id: UUID
    created_at: datetime
    applied_at: datetime
    seconds: float
    event: WrittenEvent | None


async def usual_stages(
    databases: Mapping[str, Connection], journey: Journey, *, seconds: float = HOUR
) -> Mapping[str, Mapping[str, Usual]]:
    """What the stages took lately at the consumers of a journey, by consumer and stage.

    The sample has the oldest event of each of some transactions. `in all` is from the commit to
    the effect.
    """
    consumers = {reception.consumer: None for one in journey.events for reception in one.receptions}
    known = await JourneyDatabase.all(databases)
    parameters = {
        "consumers": [*consumers],
        "seconds": seconds,
        "slices": SLICES,
        "each": EACH,
    }
    sample = [
        event
        for database in known
        for event in await database.ask_inbox(SampledEvent, sql.SAMPLE, parameters)
    ]
    written = await _written(known, ((one.event_id, one.created_at) for one in sample))
    took: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in sample:
        for stage, duration in _durations(one, written.get(one.event_id)):
            took[one.consumer][stage].append(duration)
    return {
        consumer: {stage: _usual(durations) for stage, durations in stages.items()}
        for consumer, stages in took.items()
    }


async def slowest(
    databases: Mapping[str, Connection], *, seconds: float = HOUR, limit: int = 20
) -> Sequence[Slow]:
    """The events that took the longest from their commit to their effect, at most one for each
    transaction of a consumer."""
    known = await JourneyDatabase.all(databases)
    parameters = {"seconds": seconds, "limit": limit}
    found = [
        (database.name, event)
        for database in known
        for event in await database.ask_inbox(SlowEvent, sql.SLOWEST, parameters)
    ]
    found = sorted(found, key=lambda one: -one[1].seconds)[:limit]
    written = await _written(known, ((event.event_id, event.created_at) for _, event in found))
    return [
        Slow(
            name,
            event.consumer,
            event.event_id,
            event.created_at,
            event.applied_at,
            event.seconds,
            written.get(event.event_id),
        )
        for name, event in found
    ]


async def _written(
    databases: Sequence[JourneyDatabase], events: Iterable[tuple[UUID, datetime]]
) -> dict[UUID, WrittenEvent]:
    """The rows of events that were written at exactly these times."""
    known = dict(events)
    moments: list[Moment] = merged((at - _EXACTLY, at + _EXACTLY) for at in known.values())
    return {
        event.event_id: event
        for database in databases
        for event in await database.with_ids_at([*known], moments)
    }


def _durations(one: SampledEvent, written: WrittenEvent | None) -> Iterable[tuple[str, float]]:
    published = written.published_at if written else None
    times = Times(
        one.created_at,
        published,
        one.received_at,
        one.began_at,
        one.applied_at,
        was_parked=one.was_parked,
    )
    stages = times.stages() if published else times.stages()[2:]
    yield from ((stage.name, stage.seconds) for stage in stages if stage.seconds is not None)
    yield TOTAL, max(0.0, (one.applied_at - one.created_at).total_seconds())


def _usual(durations: list[float]) -> Usual:
    cuts = quantiles(durations if len(durations) > 1 else durations * 2, n=20, method="inclusive")
    return Usual(len(durations), cuts[9], cuts[18], max(durations))
