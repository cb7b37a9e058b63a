"""Finds what a text may name in several databases, for a person who does not know where it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from outbox.operations.database import Connection
from outbox.operations.journey.databases import JourneyDatabase
from outbox.operations.journey.naming import Named

SHORTEST = 3
"""Characters; a shorter text names too much."""
MOST = 20


@dataclass(frozen=True, slots=True)
class Match:
    """Something that has a journey: `id` leads to it."""

    id: str
    kind: str
    database: str
    detail: str


async def search(databases: Mapping[str, Connection], text: str) -> Sequence[Match]:
    """Aggregates whose id begins with the text; else the event or the request that it names."""
    text, known = text.strip(), await JourneyDatabase.all(databases)
    named = Named.by(text)
    if len(text) < SHORTEST or named == Named():
        return []
    streams = [
        Match(end.aggregate_id, end.aggregate_type, database.name, _events(end.last))
        for database in known
        for end in await database.streams_beginning(text, limit=MOST)
    ]
    if streams:
        return streams[:MOST]
    return [
        Match(str(event.event_id), "event", database.name, f"{event.type}, {event.stream}")
        for database in known
        for event in (await database.named(named))[:MOST]
    ][:MOST]


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"
