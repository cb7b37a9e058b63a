"""`outbox parked`: events that consumers have parked, as a person sees them.

What a person does about them is in `parked_changes` and `parked_edit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from outbox.cli.options import After, Consumer, ConsumerName, DatabaseUrl, Json, Limit
from outbox.cli.output import cell, clean, emit, say, table, warn, warn_of_more
from outbox.cli.parked_changes import discard, redrive, skip
from outbox.cli.parked_edit import edit
from outbox.cli.parked_options import (
    AggregateId,
    ErrorText,
    EventTypes,
    Group,
    Reason,
    StreamArgument,
    selection_of,
    stream_of,
)
from outbox.cli.parked_tables import show_events, show_groups
from outbox.cli.running import FOUND, operate
from outbox.inbox.operations import ParkedEvent
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Events that consumers have parked.")

OneSequence = Annotated[int | None, typer.Option(help="Only the event with this sequence.")]

for _change in (redrive, discard, skip, edit):
    app.command()(_change)


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    consumer: Consumer = None,
    reason: Reason = None,
    types: EventTypes = None,
    error: ErrorText = None,
    group: Group = None,
    aggregate: AggregateId = None,
    limit: Limit = 100,
    after: After = None,
    as_json: Json = False,
) -> None:
    """List parked events by consumer, stream and sequence, without their bodies."""
    chosen = selection_of(reason=reason, types=types, error=error, group=group, aggregate=aggregate)
    page = operate(
        database_url,
        lambda operator: operator.parked.list(consumer, chosen, limit=limit, after=after),
    )
    _print(page.items, as_json)
    warn_of_more(page.next)


@app.command()
def groups(
    *,
    database_url: DatabaseUrl,
    consumer: Consumer = None,
    reason: Reason = None,
    types: EventTypes = None,
    error: ErrorText = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List what stops streams, by consumer, event type and cause; the most streams first.

    `redrive`, `discard` and `list` take a group by --group.
    """
    chosen = selection_of(reason=reason, types=types, error=error)

    found = operate(
        database_url,
        lambda operator: operator.parked.groups(chosen, consumer=consumer, limit=limit),
    )
    if as_json:
        emit(found)
    else:
        show_groups("groups", found)
        say(counted(len(found), "group"))


@app.command()
def show(
    *,
    consumer: ConsumerName,
    stream: StreamArgument,
    database_url: DatabaseUrl,
    sequence: OneSequence = None,
    as_json: Json = False,
) -> None:
    """Show the parked events of one stream, with their bodies and whole errors."""
    chosen = stream_of(stream)
    page = operate(database_url, lambda operator: operator.parked.show(consumer, chosen, sequence))
    found = page.items
    _print(found, as_json)
    if page.next is not None:
        warn("more events are parked behind these: --sequence shows one of them")
    for event in found if not as_json else ():
        say(f"{event.sequence} {event.event_id}", f"  error: {event.last_error or 'none'}")
        for failure in event.failures:
            say(f"  failed: {cell(failure.at)} {failure.error}")
        for line in (event.last_traceback or "").splitlines():
            say(f"    {clean(line)}")
        say(f"  body: {clean((event.body or b'').decode('utf-8', 'backslashreplace'))}")
    if not found:
        raise typer.Exit(FOUND)


@app.command()
def gaps(
    *,
    consumer: ConsumerName,
    database_url: DatabaseUrl,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    as_json: Json = False,
) -> None:
    """List the sequences that streams wait for, and since when."""
    found = operate(database_url, lambda operator: operator.parked.gaps(consumer, limit=limit))
    if as_json:
        emit(found)
    else:
        columns = ("stream", "first missing", "last missing", "waiting", "since")
        table("gaps", columns, ((g.stream, g.first, g.last, g.waiting, g.since) for g in found))
        say(counted(len(found), "gap"))


@app.command()
def missing(
    *,
    consumer: ConsumerName,
    database_url: DatabaseUrl,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    as_json: Json = False,
) -> None:
    """List events that are known and have not arrived, and when they were asked for."""
    found = operate(database_url, lambda operator: operator.parked.missing(consumer, limit=limit))
    if as_json:
        emit(found)
    else:
        columns = ("stream", "sequences", "are", "since", "asks", "asked")
        rows = ((m.stream, m.sequences, m.state, m.since, m.asks, m.asked_at) for m in found)
        table("missing", columns, rows)
        say(counted(len(found), "stream"))


def _print(found: Sequence[ParkedEvent], as_json: bool) -> None:
    if as_json:
        emit(found)
    else:
        show_events(found)
