"""A queue filled before anybody consumes: events in order, a tenth of them delivered twice."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import UTC, datetime

from bench.environment import EXCHANGE, Environment
from bench.events import TYPE, aggregate_id, payload
from bench.messages import EVENT_ID, properties
from bench.ready_frames import frames_of, publish

DUPLICATES = 0.1
AGGREGATES = 2_000
_LATER = 50
"""At most so many deliveries after the first: as after a lost connection, not after a day."""


def fill_queue(environment: Environment, deliveries: int) -> int:
    """Returns how many different events they are."""
    events = deliveries - int(deliveries * DUPLICATES)
    exchange = environment.topology.entry(EXCHANGE)
    publish(
        environment.broker_url,
        [_frames(number, exchange) for number in delivered_numbers(events, deliveries)],
    )
    return events


def fill_streams(environment: Environment, streams: int, each: int) -> int:
    """Fill the queue with events of all streams, mixed but each in order; returns how many.

    The order changes from round to round, so that the broker, which deals deliveries out to the
    consumers in turn, does not give one of them a stream of its own.
    """
    chance = random.Random(16)
    numbers: list[tuple[int, int]] = []
    for sequence in range(1, each + 1):
        order = list(range(streams))
        chance.shuffle(order)
        numbers += [(stream, sequence) for stream in order]
    publish(environment.broker_url, [_frames_of(*one, streams) for one in numbers])
    return len(numbers)


def publish_streams(environment: Environment, streams: int, numbers: Iterable[int]) -> None:
    """Publish these events, which are dealt out to the streams in turn."""
    publish(
        environment.broker_url,
        [_frames_of(number % streams, number // streams + 1, streams) for number in numbers],
    )


def delivered_numbers(events: int, deliveries: int) -> list[int]:
    """Events in order; the repeated ones are chosen by a fixed seed."""
    chance = random.Random(20)
    repeated = sorted(chance.sample(range(events), deliveries - events))
    places = [(float(number), number) for number in range(events)]
    places += [(number + chance.uniform(0.5, _LATER), number) for number in repeated]
    return [number for _, number in sorted(places)]


def _frames(number: int, exchange: str) -> bytes:
    return _frames_of(number % AGGREGATES, number // AGGREGATES + 1, AGGREGATES, exchange)


def _frames_of(stream: int, sequence: int, streams: int, exchange: str = EXCHANGE) -> bytes:
    number = (sequence - 1) * streams + stream
    given = properties(EVENT_ID.format(number), aggregate_id(stream), sequence, datetime.now(UTC))
    return frames_of(exchange, TYPE, given, payload(number))
