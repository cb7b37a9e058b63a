"""The event, and the queue that receives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from outbox import Subscription, Topology

EXCHANGE, QUEUE = "shop", "kitchen.orders"


@dataclass(frozen=True)
class OrderPlaced:
    """Any object with these members is an event; `parse` is for its handlers."""

    order_id: int
    meal: str
    type: str = "order.placed"
    version: int = 1
    aggregate_type: str = "order"

    @property
    def aggregate_id(self) -> str:
        return str(self.order_id)

    def payload(self) -> bytes:
        return json.dumps({"order_id": self.order_id, "meal": self.meal}).encode()

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(**json.loads(body))


# The source "shop" is the name that `tables.outbox` has.
KITCHEN_ORDERS = Subscription(EXCHANGE, QUEUE, "shop", ("order",))
TOPOLOGY = Topology([EXCHANGE], [KITCHEN_ORDERS])
