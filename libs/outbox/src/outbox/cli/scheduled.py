"""`outbox scheduled`: events that are not due yet. Send one now, move it, unschedule it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer

from outbox.cli.options import After, DatabaseUrl, Json, Limit, Note, Yes
from outbox.cli.output import cell, clean, emit, say, table, warn, warn_of_more
from outbox.cli.running import FOUND, confirm, operate
from outbox.cli.times import time_ahead
from outbox.errors import NotThere
from outbox.inbox.operations import Preview
from outbox.operations import Operator
from outbox.operations.operator.scheduled import DueEvent
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Events that are not due yet.")

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The service that has scheduled the event.")
]
Key = Annotated[
    str, typer.Argument(metavar="KEY", help="The key under which the event is scheduled.")
]
Time = Annotated[
    datetime,
    typer.Argument(
        parser=time_ahead,
        metavar="TIME",
        help="2026-11-27T06:00Z, or so long from now: 90m, 6h, 2d.",
    ),
]
Change = Callable[[Operator, Preview | None], Awaitable[DueEvent]]


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    prefix: Annotated[str | None, typer.Option(help="Only keys that begin so.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Only events of this type.")] = None,
    limit: Limit = 100,
    after: After = None,
    as_json: Json = False,
) -> None:
    """List scheduled events, the next due first, without their bodies."""
    page = operate(
        database_url,
        lambda operator: operator.scheduled.list(
            limit=limit, after=after, prefix=prefix, type=type_
        ),
    )
    if as_json:
        emit(page.items)
    else:
        _show(page.items)
        say(counted(len(page.items), "scheduled event"))
    warn_of_more(page.next)


@app.command()
def show(*, source: Source, key: Key, database_url: DatabaseUrl, as_json: Json = False) -> None:
    """Show one scheduled event with its body."""

    async def find(operator: Operator) -> Sequence[DueEvent]:
        with suppress(NotThere):
            return [await operator.scheduled.show(source, key)]
        return []

    found = operate(database_url, find)
    if as_json:
        emit(found)
    else:
        _show(found)
    for event in found if not as_json else ():
        say(f"  body: {clean(event.payload)}")
    if not found:
        warn(f"{source} has no scheduled event {key!r}")
        raise typer.Exit(FOUND)


@app.command()
def send_now(
    *,
    source: Source,
    key: Key,
    database_url: DatabaseUrl,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let an event be due now: a relay publishes it at once."""

    def change(operator: Operator, seen: Preview | None) -> Awaitable[DueEvent]:
        return operator.scheduled.send_now(source, key, seen=seen, note=note)

    one = OneEvent(database_url, source, key, yes, as_json)
    one.change("Send it now?", change, "is due now; a relay publishes it")


@app.command()
def move(
    *,
    source: Source,
    key: Key,
    due_at: Time,
    database_url: DatabaseUrl,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let an event be due at another time."""

    def change(operator: Operator, seen: Preview | None) -> Awaitable[DueEvent]:
        return operator.scheduled.move(source, key, due_at, seen=seen, note=note)

    one = OneEvent(database_url, source, key, yes, as_json)
    one.change(f"Let it be due at {cell(due_at)}?", change, f"is due at {cell(due_at)}")


@app.command()
def unschedule(
    *,
    source: Source,
    key: Key,
    database_url: DatabaseUrl,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove an event for ever: it is never published. It has no sequence yet, so no gap is left.

    `--json` prints it with its body.
    """

    def change(operator: Operator, seen: Preview | None) -> Awaitable[DueEvent]:
        return operator.scheduled.unschedule(source, key, seen=seen, note=note)

    one = OneEvent(database_url, source, key, yes, as_json)
    one.change("Remove it for ever?", change, "is unscheduled")


@dataclass(frozen=True)
class OneEvent:
    """A scheduled event that is to be changed, and how it is reported."""

    database_url: str
    source: str
    key: str
    yes: bool
    as_json: bool

    def change(self, question: str, change: Change, done: str) -> None:
        """Show the event, ask, and change it as it was shown."""
        event, seen = operate(self.database_url, self._preview)
        if not self.as_json:
            _show([event])
        confirm(question, yes=self.yes)
        was = operate(
            self.database_url, lambda operator: change(operator, None if self.yes else seen)
        )
        if self.as_json:
            emit({"was": was})
        else:
            say(f"{self.key} {done}")

    async def _preview(self, operator: Operator) -> tuple[DueEvent, Preview]:
        """In this order: what is shown is no older than what the change is compared with."""
        seen = await operator.scheduled.preview(self.source, self.key)
        return await operator.scheduled.show(self.source, self.key), seen


def _show(found: Sequence[DueEvent]) -> None:
    columns = ("due", "source", "key", "type", "aggregate", "event", "bytes")
    rows = (
        (
            event.due_at,
            event.source,
            event.key,
            event.type,
            f"{event.aggregate_type}/{event.aggregate_id}",
            event.event_id,
            len(event.payload.encode()),
        )
        for event in found
    )
    table("scheduled", columns, rows)
