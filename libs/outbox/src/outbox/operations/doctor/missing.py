"""Whether events are missing that are known to exist, and whether they come by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outbox.inbox.beacon_chain import BeaconHole
from outbox.inbox.missing_events import ASKED, AWAITED, LOST, UNRECOVERABLE, MissingCount
from outbox.operations.doctor.findings import Finding, error, ok, warning
from outbox.operations.status import InboxStatus
from outbox.plural import counted

UNANSWERED = timedelta(minutes=5)
"""A request that is older should have been answered."""

_FIXES = {
    ASKED: "check that the source's workers run, and that a queue of theirs takes requests",
    LOST: "`outbox replay` at the source; or name it in ConsumerSettings.resend, if it answers",
    UNRECOVERABLE: "`outbox parked missing` names them; `outbox parked skip` (with --through and"
    " --tail for the last ones of a stream) or `outbox baseline` goes on without them, and"
    " `outbox replay` at a source that has them again brings them",
}


def check_missing(inbox: InboxStatus) -> list[Finding]:
    """What is missing, by consumer and source."""
    found = [_missing(one) for one in inbox.missing if one.state != AWAITED]
    found += [_hole(one) for one in inbox.holes]
    return found or [ok("missing", "no event is known to be missing")]


def _missing(one: MissingCount) -> Finding:
    streams = counted(one.streams, "stream")
    says = (
        f"{one.consumer}: {counted(one.events, 'event')} of {one.source} in {streams}"
        f" {'is' if one.events == 1 else 'are'} {one.state},"
        f" such as {one.first}, since {one.since:%Y-%m-%d %H:%M:%S%z}"
    )
    is_young = one.since > datetime.now(UTC) - UNANSWERED
    level = warning if one.state == ASKED and is_young else error
    return level("missing", says, _FIXES[one.state])


def _hole(one: BeaconHole) -> Finding:
    says = (
        f"{one.consumer}: beacons of {one.source}/{one.aggregate_type} are lost; what was"
        f" published since {one.hole_since:%Y-%m-%d %H:%M:%S%z} may be missing unnoticed"
    )
    fix = "a source that answers tells it again in a minute; else `outbox reconcile` compares"
    return warning("missing", says, fix)
