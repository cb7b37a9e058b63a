"""Why a database or the broker cannot be used now, as a sentence. A bug is no such reason.

Invariant: every page, the actions and the sampler ask here, so what is away is nowhere a crash.
"""

from __future__ import annotations

from outbox.errors import OutboxError
from outbox.losses import lost, one_line, refusal
from outbox.rabbitmq.management_api import ManagementFailed


def reason_of(problem: Exception) -> str:
    """What is away, refuses or has no tables. Raises the problem itself if it is a bug."""
    if isinstance(problem, (OutboxError, ManagementFailed)):
        return one_line(problem)
    refused = refusal(problem, first=True)
    if refused is not None:
        return one_line(refused)
    server = lost(problem)
    if server is None:
        raise problem
    return f"{server} cannot be used: {one_line(problem)}"
