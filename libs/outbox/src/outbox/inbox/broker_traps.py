"""What a consumer says at its start of the broker that it has come to."""

from __future__ import annotations

import logging

from outbox.inbox.unacked import Unacked
from outbox.rabbitmq.broker_version import trouble_with
from outbox.rabbitmq.topology import Topology

logger = logging.getLogger(__name__)


class BrokerTraps:
    """Logs the broker's version and what it may do to one queue, once for each version."""

    def __init__(self, queue: str, topology: Topology, unacked: Unacked) -> None:
        self._queue = queue
        self._single_active = queue in topology.single_active_consumers
        self._unacked = unacked
        self._said_of: str | None = None

    def say(self, version: str) -> None:
        """A connection is open, to a broker of this version."""
        if version == self._said_of:
            return
        self._said_of = version
        says = [f"{self._queue}: the broker is RabbitMQ {version or 'of no known version'}"]
        trouble = trouble_with(version, single_active=self._single_active)
        if trouble:
            says.append(f"it {trouble.says} ({trouble.fix})")
        if self._unacked.exceeds():
            says.append(self._unacked.says())
        level = logging.INFO if len(says) == 1 else logging.WARNING
        logger.log(level, "%s", "; ".join(says))
