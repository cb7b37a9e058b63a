"""`outbox replay`: publish events of the outbox table again."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from outbox.cli.options import DatabaseUrl, DryRun, Json, Yes
from outbox.cli.output import cell, emit, say, table, warn
from outbox.cli.running import confirm, fail, run
from outbox.operations.database import open_database
from outbox.operations.replay import Replayable, Selection, history_from, replayable
from outbox.operations.replay import replay as replay_events
from outbox.plural import counted

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From this time on: 2026-11-21T06:00Z, or 90m, 6h, 2d ago."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")]
Aggregate = Annotated[
    str | None, typer.Option(metavar="TYPE/ID", help="Only events of this aggregate.")
]
EventType = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]


def replay(
    *,
    database_url: DatabaseUrl,
    since: Since = None,
    until: Until = None,
    aggregate: Aggregate = None,
    type_: EventType = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish events again. To a consumer that has had an event it is a duplicate."""
    selection = Selection(_time(since), _time(until), _aggregate(aggregate), type_)
    if selection.is_everything:
        fail("say which: --since, --aggregate or --type")
    found, oldest = run(_preview(database_url, selection))
    total = sum(entry.events for entry in found)
    if selection.since and oldest and oldest > selection.since:
        warn(f"the oldest event is of {cell(oldest)}: nothing older can be published again")
    if not as_json:
        columns = ("type", "events", "aggregates", "oldest", "newest")
        rows = ((e.type, e.events, e.aggregates, e.oldest, e.newest) for e in found)
        table("to be published again", columns, rows)
    replayed = 0
    if total and not dry_run:
        confirm(f"Publish {counted(total, 'event')} again?", yes=yes)
        replayed = run(_replay(database_url, selection))
    if as_json:
        emit({"history_from": oldest, "selected": found, "events": total, "replayed": replayed})
    elif total and not dry_run:
        again = counted(replayed, "event is published again", "events are published again")
        say(f"{again}, as the relays come to them")
    else:
        would = "would be published again" if total else "to publish again"
        say(f"{counted(total, 'event')} {would}")


async def _preview(url: str, selection: Selection) -> tuple[list[Replayable], datetime | None]:
    async with open_database(url) as connection:
        return await replayable(connection, selection), await history_from(connection)


async def _replay(url: str, selection: Selection) -> int:
    async with open_database(url) as connection:
        return await replay_events(connection, selection)


def _time(given: str | None) -> datetime | None:
    """A time, in UTC unless it names another zone, or how long ago."""
    if given is None:
        return None
    ago = re.fullmatch(r"(\d+)([smhd])", given)
    try:
        if ago:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = datetime.fromisoformat(given)
    except (ValueError, OverflowError):
        fail(f"{given!r} is neither a time like 2026-11-21T06:00Z nor a duration like 90m, 6h, 2d")
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _aggregate(given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    kind, slash, id_ = given.partition("/")
    if not (slash and kind and id_):
        fail(f"{given!r}: an aggregate is TYPE/ID, as in order/42")
    return kind, id_
