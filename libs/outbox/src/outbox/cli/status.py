"""`outbox status`: what waits in a database and its queues, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer

from outbox.cli.options import Application, BrokerUrl, DatabaseUrl, Json
from outbox.cli.output import cell, emit, say, table, warn
from outbox.cli.parked_tables import show_groups
from outbox.cli.running import FOUND, fail, operate, run, topology_of
from outbox.errors import OutboxError
from outbox.losses import broker_lost, one_line
from outbox.operations.controls import Control
from outbox.operations.json_values import plain
from outbox.operations.status import COUNTED_TO, InboxStatus, OutboxStatus, Status
from outbox.plural import counted
from outbox.rabbitmq.queue_depths import QueueDepth, queue_depths


def status(
    *,
    database_url: DatabaseUrl,
    broker_url: BrokerUrl = None,
    app: Application = None,
    as_json: Json = False,
) -> None:
    """Show what waits to be published, applied or called, who relays, and how full queues are.

    With --app all subscribed queues are shown, also those that were never consumed.
    """
    subscribed = topology_of(app).queues if app else ()
    found = operate(database_url, lambda operator: operator.status())
    if found.outbox is None and found.inbox is None and found.jobs is None:
        fail("there is neither an outbox nor an inbox in this database; has it been migrated?")
    consumed = [known.consumer for known in found.inbox.consumers] if found.inbox else []
    queues = _depths(dict.fromkeys([*consumed, *subscribed]), broker_url)
    if as_json:
        emit({**plain(found), "queues": plain(queues)})
    else:
        _show(found, queues)
    if found.needs_a_person:
        raise typer.Exit(FOUND)


def _depths(names: Iterable[str], broker_url: str | None) -> list[QueueDepth] | None:
    if broker_url is None:
        return None

    async def ask() -> list[QueueDepth] | None:
        try:
            return await queue_depths(broker_url, names)
        except Exception as problem:
            if not (isinstance(problem, OutboxError) or broker_lost(problem)):
                raise
            warn(f"the queues are not shown: {one_line(problem)}")
            return None

    return run(ask())


def _show(found: Status, queues: list[QueueDepth] | None) -> None:
    _show_controls(found.controls)
    if found.outbox:
        _show_outbox(found.outbox)
    if found.inbox:
        _show_inbox(found.inbox)
    columns = ("kind", "state", "jobs", "since")
    table("jobs", columns, ((j.kind, j.state, j.jobs, j.since) for j in found.jobs or ()))
    if queues is not None:
        columns = ("queue", "ready", "consumers", "dead letters")
        table("queues", columns, ((q.queue, q.ready, q.consumers, q.dead) for q in queues))


def _show_controls(controls: Sequence[Control]) -> None:
    columns = ("queue or relay", "type", "is", "by", "since", "until", "why")
    rows = (
        (c.target, c.type or "all", c.does, c.set_by, c.since, c.until, c.why) for c in controls
    )
    table("paused and throttled", columns, rows)


def _show_outbox(outbox: OutboxStatus) -> None:
    backlog, lanes = outbox.backlog, outbox.lanes
    many = "+" if backlog.events == COUNTED_TO else ""
    owned = lanes.total - len(lanes.unowned)
    failing = counted(backlog.failing, "event")
    rows = [
        ("backlog", f"{backlog.events}+ events" if many else counted(backlog.events, "event")),
        ("oldest", f"{cell(backlog.oldest_seconds)} s"),
        ("backed off", f"{failing} of {counted(backlog.backed_off, 'aggregate')}"),
        ("scheduled", f"{outbox.scheduled.events}, next {cell(outbox.scheduled.next_due)}"),
        ("lanes", f"{owned} of {lanes.total} owned by {counted(len(lanes.relays), 'relay')}"),
        ("partitions", f"{outbox.partitions}, room for {counted(outbox.days_covered, 'day')}"),
    ]
    table("outbox", ("what", "now"), rows)
    columns = ("state", "last error", "type", "events", "oldest", "first ids")
    troubles = (
        (t.state, t.error, t.type, t.events, t.oldest, " ".join(map(str, t.first)))
        for t in outbox.troubles
    )
    table("not published", columns, troubles)


_TRIPPED = ("consumer", "type", "cause", "since", "probes", "next probe")


def _show_inbox(inbox: InboxStatus) -> None:
    rows = ((c.consumer, c.streams, c.blocked) for c in inbox.consumers)
    table("inbox", ("consumer", "streams", "blocked"), rows)
    if not inbox.consumers:
        say("inbox: no event has been received yet")
    columns = ("consumer", "reason", "events", "for a person", "bytes", "oldest", "next attempt")
    parked = (
        (p.consumer, p.reason, p.events, p.for_person, p.bytes, p.oldest, p.next_attempt)
        for p in inbox.parked
    )
    table("parked", columns, parked)
    tripped = (
        (t.consumer, t.type, t.cause, t.tripped_at, t.probes, t.next_probe_at)
        for t in inbox.tripped
    )
    table("tripped", _TRIPPED, tripped)
    _show_missing(inbox)
    show_groups("most streams wait for", inbox.groups)


def _show_missing(inbox: InboxStatus) -> None:
    columns: tuple[str, ...]
    columns = ("consumer", "source", "is", "streams", "events", "since", "asked", "such as")
    missing = (
        (m.consumer, m.source, m.state, m.streams, m.events, m.since, m.asked_at, m.first)
        for m in inbox.missing
    )
    table("missing events", columns, missing)
    columns = ("consumer", "source", "aggregate type", "unknown since", "noticed", "asks")
    holes = (
        (h.consumer, h.source, h.aggregate_type, h.hole_since, h.since, h.asks) for h in inbox.holes
    )
    table("lost beacons", columns, holes)
