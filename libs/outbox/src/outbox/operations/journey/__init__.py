"""The way of a request through several services: its events, and the time of each stage.

`journey(databases, id)` reads it from the databases alone: the producers' outbox tables say when an
event was committed and published, the consumers' `inbox_applied` when it was received and applied,
and what is parked, discarded or missing is in the tables of the inbox. Nothing is sampled, except
for the usual times that stand beside it. All statements are bounded: `outbox.log.journey_queries`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from outbox.operations.database import Connection
from outbox.operations.journey.found import (
    ExpectedEvent,
    Journey,
    JourneyEvent,
    JourneyJob,
    Reception,
    State,
    Usual,
)
from outbox.operations.journey.measures import TOTAL, Slow, slowest, usual_stages
from outbox.operations.journey.reading import read_journey
from outbox.operations.journey.searching import Match, search
from outbox.operations.journey.stages import STAGES, Stage, Times
from outbox.operations.journey.steps import Step, steps

__all__ = [
    "STAGES",
    "TOTAL",
    "ExpectedEvent",
    "Journey",
    "JourneyEvent",
    "JourneyJob",
    "Match",
    "Reception",
    "Slow",
    "Stage",
    "State",
    "Step",
    "Times",
    "Usual",
    "journey",
    "search",
    "slowest",
    "steps",
]


async def journey(
    databases: Mapping[str, Connection], id_: str, *, everywhere: bool = False
) -> Journey:
    """The journey that an id names, with the usual times of its stages beside it.

    The id is that of an aggregate, an event, a request (correlation id) or a trace, or a whole
    `traceparent`. `databases` are those of the services under their names.
    A text that cannot be stored names nothing.
    """
    found = await read_journey(databases, id_, everywhere=everywhere)
    return replace(found, usual=await usual_stages(databases, found)) if found.events else found
