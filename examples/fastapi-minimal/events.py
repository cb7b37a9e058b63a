"""The event, and the queue that receives it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from outbox import Subscription, Topology

EXCHANGE, QUEUE = "shop", "kitchen.orders"


@dataclass(frozen=True)
class OrderPlaced:
    """Any object with these members is an event."""

    order_id: int
    meal: str
    type: str = "order.placed"
    version: int = 1
    aggregate_type: str = "order"

    @property
    def aggregate_id(self) -> str:
        return str(self.order_id)

    def payload(self) -> bytes:
        return json.dumps({"meal": self.meal}).encode()


# The source "shop" is the name that `tables.outbox` has.
TOPOLOGY = Topology([EXCHANGE], [Subscription(EXCHANGE, QUEUE, "shop", ("order",))])
