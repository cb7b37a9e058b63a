"""What is known of a broker's version: whether the library was run on it, and what is broken in it.

The broker names itself when a connection opens (AMQP 0-9-1 section 1.4.2.1, `server-properties`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection

TESTED = "3.10 and 4.0"
OLDEST = (3, 10)
STOPS_SINCE, STOPS_UNTIL = (4, 3), (4, 3, 6)
"""From the first, and before the second; rabbitmq/rabbitmq-server#17317."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a version. `breaks` means that a queue of the topology may stop."""

    says: str
    fix: str
    breaks: bool = False


def version_of(connection: AbstractConnection) -> str:
    """Such as `4.0.5`; empty if the broker does not say that it is RabbitMQ."""
    transport = connection.transport
    said = transport.connection.server_properties if transport else {}
    return str(said.get("version", "")) if said.get("product") == "RabbitMQ" else ""


def trouble_with(version: str, *, single_active: bool) -> Trouble | None:
    """What is wrong with a version; `single_active` says whether a queue has such a consumer."""
    numbers = _numbers(version)
    use = f"use a version that was tested: {TESTED}"
    if not numbers:
        return Trouble("does not say that it is RabbitMQ, and which version", use)
    if numbers < OLDEST:
        return Trouble("is older than 3.10, the oldest version that was tested", use)
    if STOPS_SINCE <= numbers < STOPS_UNTIL:
        says = (
            "stops a queue with a single active consumer for ever once its consumers have hit the"
            " consumer timeout (rabbitmq/rabbitmq-server#17317)"
        )
        if not single_active:
            says += "; none is declared here, but a queue of an earlier release may have one"
        return Trouble(says, use, breaks=single_active)
    return None


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)+", version)
    return tuple(map(int, found[0].split("."))) if found else ()
