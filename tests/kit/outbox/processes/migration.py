"""Migrates the queue of a test world in a process of its own, for a kill at a failpoint."""

from __future__ import annotations

import asyncio
import sys

from kit.outbox.world import EXCHANGE, QUEUE, TAKES
from outbox import Topology
from outbox.operations.queue_migration import migrate

if __name__ == "__main__":
    asyncio.run(migrate(sys.argv[1], Topology([EXCHANGE], [TAKES]), QUEUE))
