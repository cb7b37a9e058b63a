"""`outbox parked`: events that consumers have parked, and what a person can do about them.

One file, because its commands share how they name a stream and show an event.
"""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.console import clean, emit, say, table
from outbox.cli.options import Consumer, ConsumerName, DatabaseUrl, Json, Yes
from outbox.cli.running import FOUND, confirm, fail, run
from outbox.errors import NothingMissing
from outbox.event import Stream
from outbox.inbox.operations import Gap, InboxOperations, ParkedEvent, list_parked
from outbox.operations.database import open_database
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Events that consumers have parked.")

StreamArgument = Annotated[
    str, typer.Argument(metavar="STREAM", help="SOURCE/AGGREGATE_TYPE/AGGREGATE_ID")
]
OneStream = Annotated[
    str | None, typer.Option("--stream", metavar="SOURCE/TYPE/ID", help="Only this stream.")
]
Reason = Annotated[
    str | None,
    typer.Option(help="gap, behind, forked, failed, crashed, unreadable, unhandled or discarded."),
]
AggregateId = Annotated[
    str | None, typer.Option("--aggregate", metavar="ID", help="Only this aggregate.")
]
OneSequence = Annotated[int | None, typer.Option(help="Only the event with this sequence.")]
EventId = Annotated[str | None, typer.Option(help="Which event, if two have the same sequence.")]
Note = Annotated[str, typer.Option(help="Why; kept in inbox_discarded.")]
Through = Annotated[int | None, typer.Option(help="The last sequence to skip.")]
Tail = Annotated[bool, typer.Option("--tail", help="Skip although no event waits beyond.")]


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    consumer: Consumer = None,
    reason: Reason = None,
    aggregate: AggregateId = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List parked events, the oldest first, without their bodies."""

    async def ask() -> list[ParkedEvent]:
        async with open_database(database_url) as connection:
            return await list_parked(
                connection,
                consumer,
                reason=reason,
                aggregate_id=aggregate,
                limit=limit,
                offset=offset,
            )

    _print(run(ask()), as_json)


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
    found = run(_show(database_url, consumer, _stream(stream), sequence))
    _print(found, as_json)
    for event in found if not as_json else ():
        say(f"{event.sequence} {event.event_id}", f"  error: {event.last_error or 'none'}")
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

    async def ask() -> list[Gap]:
        async with open_database(database_url) as connection:
            return await InboxOperations(connection, consumer).gaps(limit=limit)

    found = run(ask())
    if as_json:
        emit(found)
    else:
        columns = ("stream", "first missing", "last missing", "waiting", "since")
        table("gaps", columns, ((g.stream, g.first, g.last, g.waiting, g.since) for g in found))
        say(counted(len(found), "gap"))


@app.command()
def redrive(
    *,
    database_url: DatabaseUrl,
    consumer: ConsumerName,
    stream: OneStream = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Try the first parked event of each blocked stream now; the others follow in order."""

    async def do() -> int:
        async with open_database(database_url) as connection:
            wanted = _stream(stream) if stream else None
            return await InboxOperations(connection, consumer).redrive(stream=wanted, reason=reason)

    streams = run(do())
    if as_json:
        emit({"streams": streams})
    else:
        say(counted(streams, "stream is tried now", "streams are tried now"))


@app.command()
def discard(
    *,
    consumer: ConsumerName,
    stream: StreamArgument,
    sequence: Annotated[int, typer.Argument(min=1)],
    database_url: DatabaseUrl,
    event_id: EventId = None,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Discard a parked event: it never takes effect, and its stream goes on behind it."""
    chosen = _stream(stream)
    found = run(_show(database_url, consumer, chosen, sequence))
    found = [event for event in found if event_id in (None, str(event.event_id))]
    if not found:
        fail(f"{consumer} has parked nothing at {sequence} of {chosen}")
    if not as_json:
        _print(found, as_json)
    confirm(f"Discard {sequence} of {chosen} for ever?", yes=yes)

    async def do() -> ParkedEvent:
        async with open_database(database_url) as connection:
            id_ = found[0].event_id if event_id else None
            return await InboxOperations(connection, consumer).discard(
                chosen, sequence, event_id=id_, note=note
            )

    gone = run(do())
    if as_json:
        emit({"discarded": gone})
    else:
        say(f"{gone.event_id} is discarded; its body is kept in inbox_discarded")


@app.command()
def skip(
    *,
    consumer: ConsumerName,
    stream: StreamArgument,
    database_url: DatabaseUrl,
    through: Through = None,
    tail: Tail = False,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Skip events that never arrived, so that those beyond the gap are applied.

    If no event waits beyond, it is not known what is missing: give --through and --tail then.
    """
    chosen = _stream(stream)
    at, waiting = run(_progress(database_url, consumer, chosen))
    # Decided before the question: while it waits, events may arrive and leave another gap.
    last = through or (waiting - 1 if waiting else at)
    if last <= at or not (waiting or tail):
        fail(str(NothingMissing(chosen, at + 1, last, waiting)))
    beyond = f"the first waiting event is {waiting}" if waiting else "no event waits"
    confirm(f"{chosen} is at {at}, {beyond}. Skip {at + 1} to {last}?", yes=yes)

    async def do() -> tuple[int, int]:
        async with open_database(database_url) as connection:
            return await InboxOperations(connection, consumer).skip(
                chosen, through=last, tail=tail, note=note
            )

    first, last = run(do())
    if as_json:
        emit({"first": first, "last": last})
    else:
        say(f"{first} to {last} of {chosen} are skipped")


async def _show(url: str, consumer: str, stream: Stream, sequence: int | None) -> list[ParkedEvent]:
    async with open_database(url) as connection:
        return await InboxOperations(connection, consumer).show(stream, sequence)


async def _progress(url: str, consumer: str, stream: Stream) -> tuple[int, int | None]:
    async with open_database(url) as connection:
        return await InboxOperations(connection, consumer).progress(stream)


def _stream(given: str) -> Stream:
    """A source and an aggregate type have no slash in practice; an id may have one."""
    parts = given.split("/", 2)
    if len(parts) != 3 or not all(parts):
        fail(f"{given!r}: a stream is SOURCE/AGGREGATE_TYPE/AGGREGATE_ID, as in shop/order/42")
    return Stream(*parts)


_COLUMNS = (
    "consumer",
    "stream",
    "sequence",
    "reason",
    "type",
    "attempts",
    "next attempt",
    "parked",
    "last error",
)


def _print(found: list[ParkedEvent], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    rows = (
        (
            event.consumer,
            event.stream,
            event.sequence,
            event.reason,
            event.type,
            event.attempts,
            event.next_attempt_at,
            event.parked_at,
            (event.last_error or "").partition("\n")[0],
        )
        for event in found
    )
    table("parked", _COLUMNS, rows)
    say(counted(len(found), "event"))
