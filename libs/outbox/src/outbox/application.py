"""What an application tells the command `outbox` about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox.inbox.handlers import Handlers
from outbox.rabbitmq.topology import Topology


@dataclass(frozen=True, slots=True)
class Application:
    """What `--app` names: the topology, and the handlers of this application by queue.

    `outbox doctor` compares the handlers with events that are parked as unhandled.
    """

    topology: Topology
    queues: Mapping[str, Handlers] = field(default_factory=dict)
