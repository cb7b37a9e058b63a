"""`outbox discard` and `outbox redrive`: events of the outbox table that cannot be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.options import DatabaseUrl, Json, Yes
from outbox.cli.output import emit, say, table, warn
from outbox.cli.running import FOUND, confirm, operate
from outbox.log.row import StoredEvent
from outbox.operations import Operator
from outbox.plural import counted

EventIds = Annotated[
    list[UUID] | None, typer.Argument(help="Which events; without any they are only listed.")
]


@dataclass(frozen=True)
class Change:
    """How a command asks before it changes events, and how it reports."""

    is_discard: bool
    question: str
    done: tuple[str, str]

    async def candidates(self, operator: Operator, ids: list[UUID] | None) -> Sequence[StoredEvent]:
        """The events that can be changed, all of them or those with these ids."""
        return await operator.unpublished.of(ids, returned=self.is_discard)

    async def apply(self, operator: Operator, ids: list[UUID]) -> Sequence[UUID]:
        """Change events; returns the ids of those that were."""
        unpublished = operator.unpublished
        return await (unpublished.discard if self.is_discard else unpublished.redrive)(ids)


_DISCARD = Change(
    is_discard=True,
    question="Lose the body of {} for ever?",
    done=("tombstone goes out", "tombstones go out"),
)
_REDRIVE = Change(
    is_discard=False,
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
    found = operate(url, lambda operator: change.candidates(operator, ids or None))
    if not as_json:
        _show(found)
    missing = sorted(set(map(str, ids or [])) - {str(event.event_id) for event in found})
    changed: Sequence[UUID] = ()
    if ids and found:
        confirm(change.question.format(counted(len(found), "event")), yes=yes)
        named = [event.event_id for event in found]
        changed = operate(url, lambda operator: change.apply(operator, named))
    if as_json:
        emit({"events": found, "changed": changed, "not_found": missing})
    elif changed:
        say(counted(len(changed), *change.done))
    else:
        say(counted(len(found), "event cannot be published", "events cannot be published"))
    if missing:
        warn(f"not among the events that cannot be published: {', '.join(missing)}")
        raise typer.Exit(FOUND)


def _show(found: Sequence[StoredEvent]) -> None:
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
