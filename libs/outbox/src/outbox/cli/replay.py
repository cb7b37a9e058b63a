"""`outbox replay`: publish events of the outbox table again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from outbox.cli.options import DatabaseUrl, DryRun, Json, Yes
from outbox.cli.output import cell, emit, say, table, warn
from outbox.cli.running import confirm, fail, operate
from outbox.cli.times import time_ago
from outbox.operations.replay import Replayable, Selection
from outbox.plural import counted

Since = Annotated[
    datetime | None,
    typer.Option(
        parser=time_ago,
        metavar="TIME",
        help="From this time on: 2026-11-21T06:00Z, or 90m, 6h, 2d ago.",
    ),
]
Until = Annotated[
    datetime | None, typer.Option(parser=time_ago, metavar="TIME", help="Before this time.")
]
Aggregate = Annotated[
    str | None, typer.Option(metavar="TYPE/ID", help="Only events of this aggregate.")
]
Rate = Annotated[
    float | None, typer.Option(min=0.001, metavar="N", help="At most N events a second.")
]
EventType = Annotated[str | None, typer.Option("--type", help="Only events of this type.")]


def replay(
    *,
    database_url: DatabaseUrl,
    since: Since = None,
    until: Until = None,
    aggregate: Aggregate = None,
    type_: EventType = None,
    rate: Rate = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Publish events again. To a consumer that has had an event it is a duplicate."""
    selection = _some(Selection(since, until, _aggregate(aggregate), type_))
    preview = operate(
        database_url, lambda operator: operator.replay.preview(selection, counted_to=None)
    )
    found, oldest, total = preview.types, preview.history_from, preview.total.events
    if selection.since and oldest and oldest > selection.since:
        warn(f"the oldest event is of {cell(oldest)}: nothing older can be published again")
    if not as_json:
        _show(found)
    replayed = 0
    if total and not dry_run:
        confirm(f"Publish {counted(total, 'event')} again?", yes=yes)
        seen = None if yes else preview.total
        replayed = operate(
            database_url,
            lambda operator: operator.replay.run(
                selection, seen=seen, per_second=rate, counted_to=None
            ),
        )
    if as_json:
        emit({"history_from": oldest, "selected": found, "events": total, "replayed": replayed})
    elif total and not dry_run:
        again = counted(replayed, "event is published again", "events are published again")
        say(f"{again}, as the relays come to them")
    else:
        would = "would be published again" if total else "to publish again"
        say(f"{counted(total, 'event')} {would}")


def _some(selection: Selection) -> Selection:
    if selection.is_everything:
        fail("say which: --since, --aggregate or --type")
    return selection


def _show(found: Sequence[Replayable]) -> None:
    columns = ("type", "events", "aggregates", "oldest", "newest")
    rows = ((e.type, e.events, e.aggregates, e.oldest, e.newest) for e in found)
    table("to be published again", columns, rows)


def _aggregate(given: str | None) -> tuple[str, str] | None:
    if given is None:
        return None
    kind, slash, id_ = given.partition("/")
    if not (slash and kind and id_):
        fail(f"{given!r}: an aggregate is TYPE/ID, as in order/42")
    return kind, id_
