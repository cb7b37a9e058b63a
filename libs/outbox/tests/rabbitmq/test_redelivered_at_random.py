"""Events in any order and any batches, some of them redelivered: all take effect, in order."""

from __future__ import annotations

import random

import pytest

from kit.outbox.deliveries import effects, events, record
from kit.outbox.world import QUEUE, World
from outbox import Envelope
from outbox.inbox.inbox import Inbox

STREAMS, LENGTH, ROUNDS = "abcde", 4, 10


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_in_any_order_and_whatever_is_redelivered_each_takes_effect_once_and_in_order(
    world: World, seed: int
) -> None:
    chance = random.Random(seed)
    inbox = Inbox(QUEUE, {"order.happened": record}, world.work)
    arrivals = [event for stream in STREAMS for event in events(LENGTH, stream)]
    arrivals += chance.choices(arrivals, k=LENGTH)
    chance.shuffle(arrivals)
    while arrivals:
        batch, arrivals = _split(arrivals, chance.randint(1, len(arrivals)))
        redelivered = [event for event in batch if chance.random() < 0.3]
        while batch:
            left = await inbox.handle_some(batch, redelivered=redelivered)
            batch = [*left.early, *left.rest]
    await inbox.retry_due()
    assert await effects(world) == {stream: [*range(1, LENGTH + 1)] for stream in STREAMS}
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]
    assert await world.rows("SELECT count(*) FROM inbox_attempts") == [(0,)]


def _split(events: list[Envelope], at: int) -> tuple[list[Envelope], list[Envelope]]:
    return events[:at], events[at:]
