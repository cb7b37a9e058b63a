"""Commands that change the log: replay, discard, retry."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.console import cell, emit, say, table, warn
from outbox.cli.options import DatabaseUrl, Json, Yes
from outbox.cli.running import FOUND, confirm, fail, run
from outbox.operations.database import Connection, open_database
from outbox.operations.parked_in_outbox import (
    Stuck,
    discard_in_log,
    parked_in_log,
    retry_in_log,
    stuck_in_log,
)
from outbox.operations.replay import Replayable, Selection, history_from, replayable
from outbox.operations.replay import replay as replay_events
from outbox.plural import counted

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Look = Callable[[Connection, Sequence[UUID] | None], Awaitable[list[Stuck]]]

EventIds = Annotated[
    list[UUID] | None, typer.Argument(help="Which; without any, they are only listed.")
]


def replay(
    *,
    database_url: DatabaseUrl,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="2026-11-21T06:00Z, or 90m, 6h, 2d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Before this time.")] = None,
    aggregate: Annotated[
        str | None, typer.Option(metavar="TYPE/ID", help="Of one aggregate.")
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="Of one event type.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish events of the log again; consumers take for duplicates what they have had."""
    selection = Selection(_time(since), _time(until), _aggregate(aggregate), type_)
    if selection.is_everything:
        fail("say which: --since, --aggregate or --type")
    found, oldest = run(_preview(database_url, selection))
    total = sum(entry.events for entry in found)
    if selection.since and oldest and oldest > selection.since:
        warn(f"the log begins at {cell(oldest)}: nothing older can be published again")
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
    """A time, UTC where it says nothing else, or how long ago."""
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


def discard(
    *,
    database_url: DatabaseUrl,
    event_ids: EventIds = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give up events that the broker refused, or that no queue takes, for a tombstone each."""
    _settle(
        database_url,
        event_ids,
        stuck_in_log,
        discard_in_log,
        question="Lose for ever the body of {}?",
        done=("tombstone goes out", "tombstones go out"),
        yes=yes,
        as_json=as_json,
    )


def retry(
    *,
    database_url: DatabaseUrl,
    event_ids: EventIds = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Try events again that the broker refused, after the cause is mended."""
    _settle(
        database_url,
        event_ids,
        parked_in_log,
        retry_in_log,
        question="Publish {} unchanged?",
        done=("event is published", "events are published"),
        yes=yes,
        as_json=as_json,
    )


def _settle(
    url: str,
    ids: list[UUID] | None,
    look: Look,
    change: Callable[[Connection, Sequence[UUID]], Awaitable[list[UUID]]],
    *,
    question: str,
    done: tuple[str, str],
    yes: bool,
    as_json: bool,
) -> None:
    found = run(_look(url, look, ids))
    if not as_json:
        columns = ("event", "stream", "sequence", "type", "bytes", "parked", "last error")
        table("not published", columns, (_row(event) for event in found))
    missing = sorted(set(map(str, ids or [])) - {str(event.event_id) for event in found})
    changed: list[UUID] = []
    if ids and found:
        confirm(question.format(counted(len(found), "event")), yes=yes)
        changed = run(_change(url, change, [event.event_id for event in found]))
    if as_json:
        emit({"events": found, "changed": changed, "not_found": missing})
    else:
        stuck = counted(len(found), "event is stuck in the log", "events are stuck in the log")
        say(counted(len(changed), *done) if changed else stuck)
    if missing:
        warn(f"not stuck in the log: {', '.join(missing)}")
        raise typer.Exit(FOUND)


def _row(event: Stuck) -> tuple[object, ...]:
    stream = f"{event.source}/{event.aggregate_type}/{event.aggregate_id}"
    size = len(event.payload.encode())
    return (
        event.event_id,
        stream,
        event.sequence,
        event.type,
        size,
        event.parked_at,
        event.last_error,
    )


async def _look(url: str, look: Look, ids: list[UUID] | None) -> list[Stuck]:
    async with open_database(url) as connection:
        return await look(connection, ids or None)


async def _change(
    url: str,
    change: Callable[[Connection, Sequence[UUID]], Awaitable[list[UUID]]],
    ids: list[UUID],
) -> list[UUID]:
    async with open_database(url) as connection:
        return await change(connection, ids)
