"""`outbox unpublished`: events of the outbox table that cannot be published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.options import After, DatabaseUrl, Json, Limit, Note, Yes
from outbox.cli.output import emit, say, table, warn, warn_of_more
from outbox.cli.running import FOUND, confirm, operate
from outbox.inbox.operations import Preview
from outbox.log.row import StoredEvent
from outbox.operations import Operator
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Events that cannot be published.")

EventIds = Annotated[list[UUID], typer.Argument(metavar="EVENT_ID…", help="Which events.")]


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    limit: Limit = 100,
    after: After = None,
    as_json: Json = False,
) -> None:
    """List events that are parked, or that no queue is bound for, the oldest first.

    `--json` prints their bodies too.
    """
    page = operate(
        database_url, lambda operator: operator.unpublished.list(limit=limit, after=after)
    )
    if as_json:
        emit(page.items)
    else:
        _show(page.items)
        say(counted(len(page.items), "event cannot be published", "events cannot be published"))
    warn_of_more(page.next)


@app.command()
def discard(
    event_ids: EventIds,
    *,
    database_url: DatabaseUrl,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Replace events that are parked, or that no queue is bound for, by tombstones."""
    change = Change(True, "Lose the body of {} for ever?", ("tombstone goes", "tombstones go"))
    change.run(database_url, event_ids, note=note, yes=yes, as_json=as_json)


@app.command()
def redrive(
    event_ids: EventIds,
    *,
    database_url: DatabaseUrl,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish parked events as they are, once the cause is mended."""
    change = Change(False, "Publish {} unchanged?", ("event goes", "events go"))
    change.run(database_url, event_ids, note=note, yes=yes, as_json=as_json)


@dataclass(frozen=True)
class Change:
    """How a command asks before it changes events, and how it reports."""

    is_discard: bool
    question: str
    done: tuple[str, str]

    def run(self, url: str, ids: list[UUID], *, note: str, yes: bool, as_json: bool) -> None:
        """Show the events that can be changed, ask, and change those."""
        found, seen = operate(url, lambda operator: self._preview(operator, ids))
        if not as_json:
            _show(found)
        missing = sorted({*map(str, ids)} - {str(event.event_id) for event in found})
        changed: Sequence[UUID] = ()
        if found:
            confirm(self.question.format(counted(len(found), "event")), yes=yes)
            named = [event.event_id for event in found]
            changed = operate(
                url,
                lambda operator: self._apply(
                    operator, named, seen=None if yes else seen, note=note
                ),
            )
        if as_json:
            emit({"events": found, "changed": changed, "not_found": missing})
        else:
            say(f"{counted(len(changed), *self.done)} out")
        if missing:
            warn(f"not among the events that can be changed so: {', '.join(missing)}")
            raise typer.Exit(FOUND)

    async def _preview(
        self, operator: Operator, ids: list[UUID]
    ) -> tuple[Sequence[StoredEvent], Preview]:
        unpublished = operator.unpublished
        preview = unpublished.preview_discard if self.is_discard else unpublished.preview_redrive
        seen = await preview(ids)
        return await unpublished.of(ids, returned=self.is_discard), seen

    async def _apply(
        self, operator: Operator, ids: list[UUID], *, seen: Preview | None, note: str
    ) -> Sequence[UUID]:
        """Change events; returns the ids of those that were."""
        unpublished = operator.unpublished
        change = unpublished.discard if self.is_discard else unpublished.redrive
        return await change(ids, seen=seen, note=note)


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
