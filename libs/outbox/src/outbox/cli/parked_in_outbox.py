"""`outbox discard` and `outbox redrive`: events of the outbox table that cannot be published."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.options import DatabaseUrl, Json, Yes
from outbox.cli.output import emit, say, table, warn
from outbox.cli.running import FOUND, confirm, run
from outbox.log.row import StoredEvent
from outbox.operations import parked_in_outbox
from outbox.operations.database import Connection, open_database
from outbox.plural import counted

EventIds = Annotated[
    list[UUID] | None, typer.Argument(help="Which events; without any they are only listed.")
]


@dataclass(frozen=True)
class Change:
    """What a command does to events, and how it asks and reports."""

    candidates: Callable[[Connection, Sequence[UUID] | None], Awaitable[list[StoredEvent]]]
    apply: Callable[[Connection, Sequence[UUID]], Awaitable[list[UUID]]]
    question: str
    done: tuple[str, str]


_DISCARD = Change(
    parked_in_outbox.list_discardable,
    parked_in_outbox.discard,
    question="Lose the body of {} for ever?",
    done=("tombstone goes out", "tombstones go out"),
)
_REDRIVE = Change(
    parked_in_outbox.list_parked,
    parked_in_outbox.redrive,
    question="Publish {} unchanged?",
    done=("event is published", "events are published"),
)


def discard(
    *,
    database_url: DatabaseUrl,
    event_ids: EventIds = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Replace events that the broker refused, or that no queue is bound for, by tombstones."""
    _change(_DISCARD, database_url, event_ids, yes=yes, as_json=as_json)


def redrive(
    *,
    database_url: DatabaseUrl,
    event_ids: EventIds = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish events again that the broker refused, once the cause is mended."""
    _change(_REDRIVE, database_url, event_ids, yes=yes, as_json=as_json)


def _change(change: Change, url: str, ids: list[UUID] | None, *, yes: bool, as_json: bool) -> None:
    found = run(_list(url, change, ids))
    if not as_json:
        _show(found)
    missing = sorted(set(map(str, ids or [])) - {str(event.event_id) for event in found})
    changed: list[UUID] = []
    if ids and found:
        confirm(change.question.format(counted(len(found), "event")), yes=yes)
        changed = run(_apply(url, change, [event.event_id for event in found]))
    if as_json:
        emit({"events": found, "changed": changed, "not_found": missing})
    elif changed:
        say(counted(len(changed), *change.done))
    else:
        say(counted(len(found), "event cannot be published", "events cannot be published"))
    if missing:
        warn(f"not among the events that cannot be published: {', '.join(missing)}")
        raise typer.Exit(FOUND)


async def _list(url: str, change: Change, ids: list[UUID] | None) -> list[StoredEvent]:
    async with open_database(url) as connection:
        return await change.candidates(connection, ids or None)


async def _apply(url: str, change: Change, ids: list[UUID]) -> list[UUID]:
    async with open_database(url) as connection:
        return await change.apply(connection, ids)


def _show(found: list[StoredEvent]) -> None:
    columns = ("event", "stream", "sequence", "type", "bytes", "parked", "last error")
    rows = (
        (
            event.event_id,
            event.stream,
            event.sequence,
            event.type,
            len(event.payload.encode()),
            event.parked_at,
            event.last_error,
        )
        for event in found
    )
    table("not published", columns, rows)
