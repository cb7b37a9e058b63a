"""Status and lanes as tables."""

from __future__ import annotations

from outbox.cli.console import cell, say, table
from outbox.operations.lanes import LaneMap
from outbox.operations.status import COUNTED_TO, InboxStatus, OutboxStatus, Status
from outbox.plural import counted
from outbox.rabbitmq.queue_depths import QueueDepth


def show_status(found: Status, queues: list[QueueDepth] | None) -> None:
    """Both halves, and the queues if they were asked for."""
    if found.outbox:
        _outbox(found.outbox)
    if found.inbox:
        _inbox(found.inbox)
    columns = ("kind", "state", "jobs", "since")
    table("jobs", columns, ((j.kind, j.state, j.jobs, j.since) for j in found.jobs or ()))
    if queues is not None:
        columns = ("queue", "ready", "consumers", "dead letters")
        table("queues", columns, ((q.queue, q.ready, q.consumers, q.dead) for q in queues))


def _outbox(outbox: OutboxStatus) -> None:
    backlog, lanes = outbox.backlog, outbox.lanes
    many = "+" if backlog.events == COUNTED_TO else ""
    owned = lanes.total - len(lanes.unowned)
    rows = [
        ("backlog", f"{backlog.events}+ events" if many else counted(backlog.events, "event")),
        ("oldest", f"{cell(backlog.oldest_seconds)} s"),
        ("held", f"{counted(backlog.failing, 'event')} of {counted(backlog.held, 'aggregate')}"),
        ("scheduled", f"{outbox.scheduled.events}, next {cell(outbox.scheduled.next_due)}"),
        ("lanes", f"{owned} of {lanes.total} owned by {counted(len(lanes.relays), 'relay')}"),
        ("partitions", f"{outbox.partitions}, room for {counted(outbox.days_covered, 'day')}"),
    ]
    table("outbox", ("what", "now"), rows)
    columns = ("state", "last error", "type", "events", "oldest", "first ids")
    rows_ = (
        (t.state, t.error, t.type, t.events, t.oldest, " ".join(map(str, t.first)))
        for t in outbox.troubles
    )
    table("not published", columns, rows_)


def _inbox(inbox: InboxStatus) -> None:
    rows = ((c.consumer, c.streams, c.blocked) for c in inbox.consumers)
    table("inbox", ("consumer", "streams", "blocked"), rows)
    if not inbox.consumers:
        say("inbox: nothing was taken yet")
    columns = ("consumer", "reason", "events", "bytes", "oldest", "next attempt")
    parked = (
        (p.consumer, p.reason, p.events, p.bytes, p.oldest, p.next_attempt) for p in inbox.parked
    )
    table("parked", columns, parked)


def show_lanes(found: LaneMap) -> None:
    """A line for each relay, and what is left."""
    columns = ("pid", "relay", "address", "since", "of", "lanes")
    rows = (
        (r.pid, r.name, r.address, r.since, r.of, " ".join(map(str, r.lanes)) or "stands by")
        for r in found.relays
    )
    table(counted(found.total, "lane"), columns, rows)
    if found.unowned:
        say(f"without an owner: {' '.join(map(str, found.unowned))}")
