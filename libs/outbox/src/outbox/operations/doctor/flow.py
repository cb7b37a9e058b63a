"""Whether events move: relays, backlog, parked events, jobs, clocks, the server's settings."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from outbox.inbox.parked_rows import FORKED, GATED, UNHANDLED, ParkedGroup
from outbox.jobs import JobCount, list_jobs
from outbox.log import operator_queries as outbox_sql
from outbox.operations.database import Connection, value
from outbox.operations.doctor.findings import Finding, error, ok, warning
from outbox.operations.doctor.missing import check_missing
from outbox.operations.status import NAMED, InboxStatus, OutboxStatus, status
from outbox.plural import counted
from outbox.postgres.controls import Control

OLDEST = 60.0
SKEW = 1.0
LONG_TRANSACTION = 300
HEAVY_CONSUMER, HEAVY_STREAM = 256 * 1024 * 1024, 16 * 1024 * 1024
"""Bytes parked. At 1 GiB, unless it is set otherwise, a consumer stops receiving."""

_SERVER = """
SELECT current_setting('fsync'), current_setting('full_page_writes'),
       current_setting('synchronous_commit')
"""
_LONG = """
SELECT count(*), max(extract(epoch FROM clock_timestamp() - xact_start))::float8
  FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
   AND xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
"""


async def check_flow(connection: Connection) -> list[Finding]:
    """Everything that one database shows while the system runs."""
    now = await status(connection)
    found = [await _clock(connection), *await _server(connection), await _transactions(connection)]
    found += [_control(one) for one in now.controls]
    if now.outbox:
        found += [_relays(now.outbox), *_backlog(now.outbox), _scheduled(now.outbox)]
        if await value(connection, outbox_sql.EVENTS_FROM_THE_FUTURE):
            fix = "set the database server's clock right (NTP)"
            found.append(warning("clock", "the outbox table has events from the future", fix))
    if now.inbox:
        found += [*_parked(now.inbox), *_groups(now.inbox), *_heavy(now.inbox)]
        found += check_missing(now.inbox)
    if now.jobs is not None:
        found += await _jobs(connection, now.jobs)
    return found


async def _clock(connection: Connection) -> Finding:
    began = time.monotonic()
    theirs: datetime = await value(connection, "SELECT clock_timestamp()")
    ours = datetime.now(UTC) - timedelta(seconds=(time.monotonic() - began) / 2)
    skew = (theirs - ours).total_seconds()
    if abs(skew) > SKEW:
        says = (
            f"the database is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} this machine"
        )
        return warning("clock", says, "set both clocks right (NTP): ages and delays are wrong")
    return ok("clock", f"differs from this machine's by {abs(skew) * 1000:.0f} ms")


async def _server(connection: Connection) -> list[Finding]:
    cursor = await connection.execute(_SERVER)
    fsync, pages, commit = await cursor.fetchone() or ("on", "on", "on")
    findings = []
    if "off" in (fsync, pages):
        says = "a power cut may destroy this database (fsync or full_page_writes is off)"
        findings.append(error("durability", says, "turn both on, unless the data may be lost"))
    if commit in ("off", "local"):
        says = f"synchronous_commit is {commit}: a confirmed commit may be lost"
        findings.append(warning("durability", says, "ALTER DATABASE … SET synchronous_commit = on"))
    return findings or [ok("durability", "commits are on disk when they are confirmed")]


async def _transactions(connection: Connection) -> Finding:
    cursor = await connection.execute(_LONG, {"seconds": LONG_TRANSACTION})
    count, oldest = await cursor.fetchone() or (0, None)
    if count:
        says = f"{count} open for more than 5 minutes, the longest for {oldest:.0f} s"
        fix = "end sessions that are idle in a transaction: the relay reads past dead rows for them"
        return warning("transactions", says, fix)
    return ok("transactions", "none has been open for long")


def _control(control: Control) -> Finding:
    which = f"{control.target} {control.type}".rstrip()
    return warning("controls", f"{which} is {control}", "`outbox resume` ends it")


def _relays(outbox: OutboxStatus) -> Finding:
    lanes = outbox.lanes
    if not lanes.relays:
        says = "no relay is connected: nothing is published"
        return error("relay", says, "start a worker or a relay; if one should run, look at its log")
    if lanes.unowned:
        says = f"{len(lanes.unowned)} of {counted(lanes.total, 'lane')} have no owner"
        return warning("relay", says, "wait a few seconds and check again; then restart the relays")
    return ok("relay", f"{len(lanes.relays)} connected, {counted(lanes.total, 'lane')} owned")


def _backlog(outbox: OutboxStatus) -> list[Finding]:
    findings = []
    for trouble in outbox.troubles:
        says = (
            f"{trouble.events} of {trouble.type} {trouble.state}: {trouble.error};"
            f" the first: {_named(trouble.first)}"
        )
        fix = "look at the broker; `outbox status` shows whether publishing goes on"
        if trouble.error == "returned":
            fix = (
                f"no queue is bound for {trouble.type}: bind one (a Subscription in the Topology or"
                " a consumer that has not run yet), or `outbox unpublished discard ID`"
            )
        if trouble.state == "parked":
            fix = (
                "`outbox unpublished redrive` publishes them as they are,"
                " `outbox unpublished discard` publishes tombstones"
            )
        findings.append(error("backlog", says, fix))
    oldest = outbox.backlog.oldest_seconds or 0.0
    if oldest > OLDEST:
        events = counted(outbox.backlog.events, "event waits", "events wait")
        says = f"{events}, the oldest for {oldest:.0f} s"
        findings.append(error("backlog", says, "check that a relay runs and the broker confirms"))
    return findings or [
        ok("backlog", f"{counted(outbox.backlog.events, 'event')}, {oldest:.1f} s old at most")
    ]


def _scheduled(outbox: OutboxStatus) -> Finding:
    due = outbox.scheduled
    late = due.next_due is not None and due.next_due < datetime.now(UTC) - timedelta(minutes=1)
    if due.overdue and late:
        says = f"overdue since {due.next_due:%Y-%m-%d %H:%M:%S%z}: {counted(due.overdue, 'event')}"
        return error("schedule", says, "relays move them: check that one runs and owns lanes")
    return ok("schedule", f"{counted(due.events, 'event')} to come")


async def _jobs(connection: Connection, counts: list[JobCount]) -> list[Finding]:
    found = []
    for count in counts:
        since = f"{count.since:%Y-%m-%d %H:%M:%S%z}" if count.since else "now"
        if count.state == "failed":
            first = await list_jobs(connection, kind=count.kind, state="failed", limit=NAMED)
            says = f"{count.jobs} {count.kind} failed since {since}: {_named(j.key for j in first)}"
            fix = "mend the cause, then `outbox jobs redrive`; or `outbox jobs discard KIND KEY`"
            found.append(error("jobs", says, fix))
        elif count.state == "waiting" and count.seconds > OLDEST:
            says = f"{count.jobs} {count.kind} wait, the first has been due since {since}"
            fix = "check whether a JobWorker with a handler of this kind runs and is fast enough"
            found.append(error("jobs", says, fix))
    waiting = sum(count.jobs for count in counts if count.state == "waiting")
    return found or [ok("jobs", f"none has failed, {waiting} wait")]


def _named(names: Iterable[object]) -> str:
    return ", ".join(map(str, names))


def _parked(inbox: InboxStatus) -> list[Finding]:
    fixes = {
        "failed": "mend the cause, then `outbox parked redrive`; or `outbox parked discard`",
        "gap": "`outbox reconcile` names what is missing, `outbox replay` at the source brings it",
        "unhandled": "handle or ignore their types (see `handlers`); then they are retried",
        "paused": "`outbox status` shows who paused what; `outbox resume` ends it",
        "tripped": "`outbox status` shows the cause; they go on when its dependency is back",
        "forked": "the source was restored: compare both histories, then `outbox parked discard`",
    }
    found = []
    for parked in inbox.parked:
        if parked.reason == "behind":
            continue
        young = parked.oldest > datetime.now(UTC) - timedelta(seconds=OLDEST)
        since = f"{parked.oldest:%Y-%m-%d %H:%M:%S%z}"
        says = f"{parked.consumer}: {parked.events} {parked.reason} since {since}"
        retried = parked.next_attempt and not parked.for_person
        level = warning if young or retried or parked.reason in GATED else error
        fix = fixes.get(parked.reason, "`outbox parked list` and `outbox parked show`")
        found.append(level("parked", says, fix))
    return found or [ok("parked", "no event needs a person")]


def _groups(inbox: InboxStatus) -> list[Finding]:
    """The causes of failures. What is unhandled, forked or postponed is not mended by a redrive."""
    others = (UNHANDLED, FORKED, *GATED)
    return [_group(group) for group in inbox.groups if group.reason not in others]


def _group(group: ParkedGroup) -> Finding:
    streams = counted(group.streams, "stream stops", "streams stop")
    says = (
        f"{group.consumer}: {streams} at {group.type}, {group.followers} behind: {group.cause};"
        f" such as {group.sample} in {group.sample_stream}: {group.sample_error or group.reason}"
    )
    which = f"{group.consumer} --group {group.fingerprint}"
    fix = (
        f"mend the cause, then `outbox parked redrive {which}`; or `outbox parked discard {which}`"
    )
    return (error if group.for_person else warning)("parked", says, fix)


def _heavy(inbox: InboxStatus) -> list[Finding]:
    totals = Counter[str]()
    for parked in inbox.parked:
        totals[parked.consumer] += parked.bytes
    fix = "redrive or discard: at its limit a consumer stops receiving"
    found = [
        error("parked", f"{consumer}: {total} bytes are parked", fix)
        for consumer, total in totals.items()
        if total >= HEAVY_CONSUMER
    ]
    return found + [
        warning("parked", f"{one.consumer}: {one.bytes} bytes are parked in {one.stream}", fix)
        for one in inbox.heaviest
        if one.bytes >= HEAVY_STREAM
    ]
