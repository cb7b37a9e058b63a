"""Failpoints: named steps at which the process kills itself, for tests of a kill -9 there.

Failpoints work only with `APP_ENV=test`. `OUTBOX_FAILPOINT=relay.read` kills the process when it
comes to that step for the first time, `OUTBOX_FAILPOINT=relay.read:3` the third time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

RELAY_STEPS = (
    "relay.lane_acquired",
    "relay.read",
    "relay.written",
    "relay.confirmed",
    "relay.marked",
    "relay.handing_over",
)
UNROUTED_STEPS = ("relay.rebound", "relay.unpublished")

CONSUMER_STEPS = (
    "consumer.delivered",
    "consumer.noted",
    "consumer.locked",
    "consumer.handled",
    "consumer.committed",
    "consumer.acked",
)
BEACON_STEPS = ("beacons.published",)
MISSING_STEPS = ("missing.noticed", "missing.noted", "missing.asking", "missing.asked")
WORK_STEPS = ("group.committed",)
JOB_STEPS = ("job.claimed", "job.called", "job.committed")
MIGRATION_STEPS = (
    "migration.prepared",
    "migration.unbound",
    "migration.confirmed",
    "migration.acked",
    "migration.deleted",
    "migration.declared",
)

_hits: Counter[str] = Counter()
_armed = os.environ.get("OUTBOX_FAILPOINT", "") if os.environ.get("APP_ENV") == "test" else ""
_step, _, _nth = _armed.partition(":")


def hit(step: str) -> None:
    """Kill the process here, by SIGKILL, if this is the step and the time that were asked for."""
    if not _step or step != _step:
        return
    _hits[step] += 1
    if _hits[step] >= int(_nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
