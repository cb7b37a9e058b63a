"""`outbox parked`: what consumers keep for later, and what a person can do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.console import clean, emit, say, table
from outbox.cli.options import Consumer, DatabaseUrl, Json, Yes
from outbox.cli.running import FOUND, confirm, fail, run
from outbox.errors import NothingMissing
from outbox.event import Stream
from outbox.inbox import operations
from outbox.inbox.operations import Gap, Parked
from outbox.operations.database import open_database
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Events that consumers keep for later.")

Named = Annotated[str, typer.Argument(metavar="CONSUMER", help="Its name is its queue's.")]
StreamArgument = Annotated[
    str, typer.Argument(metavar="STREAM", help="SOURCE/AGGREGATE_TYPE/AGGREGATE_ID")
]
Reason = Annotated[
    str | None,
    typer.Option(help="gap, behind, forked, failed, crashed, unreadable, unhandled or discarded."),
]
Note = Annotated[str, typer.Option(help="Why; kept with it in inbox_discarded.")]


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    consumer: Consumer = None,
    reason: Reason = None,
    aggregate: Annotated[str | None, typer.Option(metavar="ID", help="Of one aggregate.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Parked events, the oldest first, without their bodies."""

    async def ask() -> list[Parked]:
        async with open_database(database_url) as connection:
            return await operations.list_parked(
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
    consumer: Named,
    stream: StreamArgument,
    database_url: DatabaseUrl,
    sequence: Annotated[int | None, typer.Option(help="Only this place.")] = None,
    as_json: Json = False,
) -> None:
    """All that is parked of one stream, with the bodies and whole errors."""
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
    consumer: Named,
    database_url: DatabaseUrl,
    limit: Annotated[int, typer.Option(min=1)] = 100,
    as_json: Json = False,
) -> None:
    """What is missing before events that are held: first to last, and since when."""

    async def ask() -> list[Gap]:
        async with open_database(database_url) as connection:
            return await operations.list_gaps(connection, consumer, limit=limit)

    found = run(ask())
    if as_json:
        emit(found)
    else:
        columns = ("stream", "first missing", "last missing", "held", "since")
        table("gaps", columns, ((g.stream, g.first, g.last, g.held, g.since) for g in found))
        say(counted(len(found), "gap"))


@app.command()
def redrive(
    *,
    database_url: DatabaseUrl,
    consumer: Named,
    stream: Annotated[str | None, typer.Option(metavar="SOURCE/TYPE/ID", help="Only one.")] = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Try the first parked event of each stopped stream now; those behind it follow in order."""

    async def do() -> int:
        async with open_database(database_url) as connection:
            wanted = _stream(stream) if stream else None
            return await operations.redrive(connection, consumer, stream=wanted, reason=reason)

    streams = run(do())
    if as_json:
        emit({"streams": streams})
    else:
        say(counted(streams, "stream is tried at once", "streams are tried at once"))


@app.command()
def discard(
    *,
    consumer: Named,
    stream: StreamArgument,
    sequence: Annotated[int, typer.Argument(min=1)],
    database_url: DatabaseUrl,
    event_id: Annotated[str | None, typer.Option(help="Which, where two have one place.")] = None,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Do without a parked event: it never takes effect, and those behind it flow."""
    place = _stream(stream)
    found = run(_show(database_url, consumer, place, sequence))
    found = [event for event in found if event_id in (None, str(event.event_id))]
    if not found:
        fail(f"nothing is parked at {sequence} of {place} by {consumer}")
    if not as_json:
        _print(found, as_json)
    confirm(f"Do without {sequence} of {place} for ever?", yes=yes)

    async def do() -> Parked:
        async with open_database(database_url) as connection:
            chosen = found[0].event_id if event_id else None
            return await operations.discard(
                connection, consumer, place, sequence, event_id=chosen, note=note
            )

    gone = run(do())
    if as_json:
        emit({"discarded": gone})
    else:
        say(f"{gone.event_id} is discarded; its body is kept in inbox_discarded")


@app.command()
def skip(
    *,
    consumer: Named,
    stream: StreamArgument,
    database_url: DatabaseUrl,
    through: Annotated[int | None, typer.Option(help="The last sequence to do without.")] = None,
    tail: Annotated[bool, typer.Option("--tail", help="Though nothing is held behind.")] = False,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Do without events that never arrived, so that those beyond the gap flow.

    Where nothing is held, it is not known what is missing: give --through and --tail then.
    """
    place = _stream(stream)
    url = database_url
    at, held = run(_place(url, consumer, place))
    # Not decided anew after the question: what was missing may have come, and another gap with it.
    last = through or (held - 1 if held else at)
    if last <= at or not (held or tail):
        fail(str(NothingMissing(place, at + 1, last, held)))
    seen = f"at {at}, first held {held}" if held else f"at {at}, nothing held"
    confirm(f"{place} is {seen}. Do without {at + 1} to {last}?", yes=yes)

    async def do() -> tuple[int, int]:
        async with open_database(url) as connection:
            return await operations.skip(
                connection, consumer, place, through=last, tail=tail, note=note
            )

    first, last = run(do())
    if as_json:
        emit({"first": first, "last": last})
    else:
        say(f"{first} to {last} of {place} are skipped")


async def _show(url: str, consumer: str, stream: Stream, sequence: int | None) -> list[Parked]:
    async with open_database(url) as connection:
        return await operations.show(connection, consumer, stream, sequence)


async def _place(url: str, consumer: str, stream: Stream) -> tuple[int, int | None]:
    async with open_database(url) as connection:
        return await operations.place(connection, consumer, stream)


def _stream(given: str) -> Stream:
    """Source and type have no slash in practice; an id may."""
    parts = given.split("/", 2)
    if len(parts) != 3 or not all(parts):
        fail(f"{given!r}: a stream is SOURCE/AGGREGATE_TYPE/AGGREGATE_ID, as in shop/order/42")
    return Stream(*parts)


def _print(found: list[Parked], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    columns = (
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
    rows = (
        (
            e.consumer,
            e.stream,
            e.sequence,
            e.reason,
            e.type,
            e.attempts,
            e.next_attempt_at,
            e.parked_at,
            (e.last_error or "").partition("\n")[0],
        )
        for e in found
    )
    table("parked", columns, rows)
    say(counted(len(found), "event"))
