"""`outbox reconcile`: what a producer has and a consumer lacks."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import AggregateTypes, Application, ConsumerUrl, Json, ProducerUrl
from outbox.cli.output import emit, say, table, warn
from outbox.cli.running import FOUND, operate, topology_of, user
from outbox.operations import Actor, Operator, open_operator
from outbox.operations.json_values import plain
from outbox.operations.reconcile import DETAILED, GRACE, ConsumerReport, Reconciliation
from outbox.plural import counted

Consumers = Annotated[
    list[str] | None,
    typer.Option("--consumer", metavar="QUEUE", help="Only this consumer; repeatable."),
]
Grace = Annotated[float, typer.Option(help="Seconds for which an event may be under way.")]


def reconcile(
    *,
    producer_url: ProducerUrl,
    consumer_url: ConsumerUrl,
    consumer: Consumers = None,
    aggregate_type: AggregateTypes = None,
    app: Application = None,
    grace: Grace = GRACE,
    as_json: Json = False,
) -> None:
    """Name every event that a producer has and a consumer lacks, the last ones included."""
    topology = topology_of(app) if app else None

    async def ask(producer: Operator) -> Reconciliation:
        async with open_operator(consumer_url, by=Actor(user(), via="cli")) as consuming:
            return await producer.reconcile(
                consuming,
                consumers=consumer or [],
                aggregate_types=aggregate_type or [],
                subscriptions=topology.subscriptions if topology else None,
                grace=grace,
            )

    found = operate(producer_url, ask)
    if as_json:
        emit({"whole": found.is_whole, **plain(found)})
    else:
        _show(found)
    if not found.is_whole:
        raise typer.Exit(FOUND)


def _show(found: Reconciliation) -> None:
    if found.assumed:
        warn("without --app a consumer is assumed to subscribe to what it has received before")
    for kind in found.unsubscribed:
        warn(f"no consumer that was compared subscribes to {kind}")
    for name in found.uncompared:
        warn(
            f"nothing was compared of {name}, which has never been consumed here: if it belongs to"
            " this database, give --consumer, and --app or --aggregate-type for its events"
        )
    if not found.results:
        say("nothing was compared")
    for report in found.results:
        _show_consumer(report)


def _show_consumer(report: ConsumerReport) -> None:
    rows = (
        (m.stream, m.first, m.last, m.why.value, m.tail, " ".join(map(str, m.event_ids[:3])))
        for m in report.missing
    )
    columns = ("stream", "first", "last", "why", "tail", "events")
    table(f"missing at {report.consumer}", columns, rows)
    say(
        f"{report.consumer}: {counted(report.streams, 'stream')}"
        f" of {', '.join(report.kinds)} compared, {report.behind} behind;"
        f" {counted(report.missing_count, 'event')} missing, {report.parked} parked,"
        f" {report.unpublished} not yet published, {report.under_way} under way"
    )
    if not report.complete:
        say(f"only the first {DETAILED} streams that are behind were examined: there may be more")
