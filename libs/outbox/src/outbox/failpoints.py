"""Dying at a named step, for tests that ask what a kill -9 there does.

Honoured only with `APP_ENV=test`. `OUTBOX_FAULT_POINT=relay.read` dies when the step is reached
for the first time, `OUTBOX_FAULT_POINT=relay.read:3` the third time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

RELAY_STEPS = (
    "relay.lane_taken",
    "relay.read",
    "relay.written",
    "relay.confirmed",
    "relay.marked",
    "relay.handing_over",
)

CONSUMER_STEPS = (
    "consumer.delivered",
    "consumer.locked",
    "consumer.handled",
    "consumer.committed",
    "consumer.acked",
)
JOB_STEPS = ("job.claimed", "job.called", "job.committed")

_reached: Counter[str] = Counter()
_armed = os.environ.get("OUTBOX_FAULT_POINT", "") if os.environ.get("APP_ENV") == "test" else ""
_step, _, _nth = _armed.partition(":")


def reach(step: str) -> None:
    """Die here, by SIGKILL, if this is the step and the time that was asked for."""
    if not _step or step != _step:
        return
    _reached[step] += 1
    if _reached[step] >= int(_nth or 1):
        os.kill(os.getpid(), signal.SIGKILL)
