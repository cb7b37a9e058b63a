"""Commands on two databases at once: reconcile, baseline."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.console import emit, plain, say, table, warn
from outbox.cli.options import Application, ConsumerUrl, Json, ProducerUrl, Yes
from outbox.cli.running import FOUND, confirm, run, topology_of
from outbox.event import Stream
from outbox.inbox.baseline import baseline as set_baseline
from outbox.inbox.beginnings import beginnings
from outbox.operations.database import open_database
from outbox.operations.reconcile import DETAILED, GRACE, Compared, Reconciliation
from outbox.operations.reconcile import reconcile as compare
from outbox.plural import counted

Consumers = Annotated[
    list[str] | None,
    typer.Option("--consumer", metavar="QUEUE", help="Only this one; repeatable."),
]
AggregateTypes = Annotated[
    list[str] | None, typer.Option("--aggregate-type", help="Only this one; repeatable.")
]


def reconcile(
    *,
    producer_url: ProducerUrl,
    consumer_url: ConsumerUrl,
    consumer: Consumers = None,
    aggregate_type: AggregateTypes = None,
    app: Application = None,
    grace: Annotated[float, typer.Option(help="Seconds that an event may be under way.")] = GRACE,
    as_json: Json = False,
) -> None:
    """Name every event that a producer has and a consumer lacks, the last ones included."""
    subscriptions = topology_of(app).subscriptions if app else None

    async def ask() -> Compared:
        async with open_database(producer_url) as producer, open_database(consumer_url) as theirs:
            return await compare(
                producer,
                theirs,
                consumers=consumer or [],
                aggregate_types=aggregate_type or [],
                subscriptions=subscriptions,
                grace=grace,
            )

    found = run(ask())
    if as_json:
        emit({"whole": found.is_whole, **plain(found)})
    else:
        _show(found)
    if not found.is_whole:
        raise typer.Exit(FOUND)


def _show(found: Compared) -> None:
    if found.assumed:
        warn("without --app a consumer is assumed to take what it has taken before, and no more")
    for kind in found.untaken:
        warn(f"no consumer that was looked at takes {kind}")
    for name in found.uncompared:
        warn(
            f"nothing was compared of {name}, which nobody here has consumed: if it is of this"
            " database, give --consumer, and --app or --aggregate-type for what it takes"
        )
    if not found.results:
        say("nothing was compared")
    for result in found.results:
        _show_one(result)


def _show_one(result: Reconciliation) -> None:
    rows = (
        (h.stream, h.first, h.last, h.why.value, h.tail, " ".join(map(str, h.event_ids[:3])))
        for h in result.holes
    )
    columns = ("stream", "first", "last", "why", "tail", "events")
    table(f"holes of {result.consumer}", columns, rows)
    say(
        f"{result.consumer}: {counted(result.streams, 'stream')}"
        f" of {', '.join(result.kinds)} compared, "
        f"{result.behind} behind: {counted(len(result.holes), 'hole')}, "
        f"{counted(result.waiting, 'event')} parked, "
        f"{result.unpublished} not yet published, {result.under_way} under way"
    )
    if not result.complete:
        say(f"only the first {DETAILED} streams that are behind were looked at: there may be more")


def baseline(
    *,
    consumer: Annotated[str, typer.Argument(help="Its name is its queue's.")],
    producer_url: ProducerUrl,
    consumer_url: ConsumerUrl,
    aggregate_type: AggregateTypes = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would do.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let a new consumer begin with what comes from now on, instead of at the first event.

    Have its queue bound before. Streams of which it has applied something are left alone.
    """

    async def ask() -> dict[Stream, int]:
        async with open_database(producer_url) as producer, open_database(consumer_url) as theirs:
            return await beginnings(producer, theirs, consumer, aggregate_types=aggregate_type)

    async def do(sequences: dict[Stream, int]) -> int:
        async with open_database(consumer_url) as theirs:
            return await set_baseline(theirs, consumer, sequences, only_new=True)

    found = run(ask())
    changed = 0
    if found and not dry_run:
        confirm(f"Let {consumer} never have the past of {counted(len(found), 'stream')}?", yes=yes)
        changed = run(do(found))
    if as_json:
        emit({"streams": len(found), "changed": changed})
    else:
        say(f"{counted(len(found), 'stream')}, {changed} changed")
