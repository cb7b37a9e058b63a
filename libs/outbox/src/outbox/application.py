"""What an application has to say of itself to the tools that look after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from outbox.inbox.handlers import Handlers
from outbox.rabbitmq.topology import Topology


@dataclass(frozen=True, slots=True)
class Application:
    """Where `--app` leads to: the topology, and by queue the handlers of this application.

    With the handlers `outbox doctor` compares what is parked as unhandled.
    """

    topology: Topology
    queues: Mapping[str, Handlers] = field(default_factory=dict)
