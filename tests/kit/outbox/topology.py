"""The topology of the small world, where `--app` can find it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from kit.outbox.world import EXCHANGE, QUEUE, TAKES
from outbox import Application, ConsumerSettings, Topology, ignore

TOPOLOGY = Topology([EXCHANGE], [TAKES])
AUDITED = Topology([EXCHANGE], [TAKES], {"everything": timedelta(days=1)})
"""With a stream queue that takes every event."""
WITH_MENU = Topology(
    [EXCHANGE],
    [
        replace(TAKES, aggregate_types=("order", "menu")),
        replace(TAKES, queue="elsewhere", aggregate_types=("menu",)),
    ],
)
NOT_ONE = "a string"


def topology() -> Topology:
    return TOPOLOGY


APPLICATION = Application(TOPOLOGY, {QUEUE: {"order.happened": ignore}})
WITH_SETTINGS = replace(APPLICATION, consumer_settings=ConsumerSettings())
LATER = Application(TOPOLOGY, {QUEUE: {"order.happened": ignore, "order.payed": ignore}})


def raises() -> Topology:
    raise RuntimeError("not now")
