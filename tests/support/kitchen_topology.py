"""The topology of the small world, where `--app` can find it."""

from __future__ import annotations

from outbox import Application, Topology, ignore
from outbox_world import EXCHANGE, QUEUE, Takes

TOPOLOGY = Topology([EXCHANGE], [Takes()])
WITH_MENU = Topology(
    [EXCHANGE],
    [Takes(routing_keys=("order.#", "menu.#")), Takes(queue="elsewhere", routing_keys=("menu.#",))],
)
NOT_ONE = "a string"


def topology() -> Topology:
    return TOPOLOGY


APPLICATION = Application(TOPOLOGY, {QUEUE: {"order.happened": ignore}})
LATER = Application(TOPOLOGY, {QUEUE: {"order.happened": ignore, "order.payed": ignore}})


def raises() -> Topology:
    raise RuntimeError("not now")
