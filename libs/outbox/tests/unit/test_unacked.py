"""How long a delivery may wait for its ack follows from the settings."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from outbox import ConsumerSettings, Envelope, HandlersByType, UnitOfWork, handle_many, ignore
from outbox.inbox.broker_traps import BrokerTraps
from outbox.inbox.unacked import CONSUMER_TIMEOUT, Unacked
from outbox.rabbitmq.topology import Topology


async def one(unit: UnitOfWork, event: Envelope) -> None: ...


async def many(unit: UnitOfWork, events: Sequence[Envelope]) -> None: ...


SLOW: HandlersByType = {"a": one, "b": handle_many(many, time_limit=40), "c": ignore}
UNLIMITED: HandlersByType = {"a": one, "b": handle_many(many, time_limit=0)}


@pytest.mark.parametrize(
    ("handlers", "settings", "longest"),
    [
        ({"a": one}, ConsumerSettings(prefetch=100, concurrency=8), 13 * 30),
        ({"a": one}, ConsumerSettings(prefetch=2, concurrency=8), 30),
        ({"a": ignore}, ConsumerSettings(prefetch=100, concurrency=10), 10 * 30),
        (SLOW, ConsumerSettings(prefetch=100, concurrency=10), 10 * 40),
        (UNLIMITED, ConsumerSettings(prefetch=100, concurrency=10), 10 * 60),
    ],
)
def test_the_bound_is_the_share_of_a_worker_times_the_slowest_handler(
    handlers: HandlersByType, settings: ConsumerSettings, longest: float
) -> None:
    assert Unacked.of(handlers, settings).longest == longest


def test_a_bound_at_the_timeout_exceeds_it() -> None:
    settings = ConsumerSettings(prefetch=600, concurrency=10)
    assert Unacked.of({"a": one}, settings).longest == CONSUMER_TIMEOUT
    assert Unacked.of({"a": one}, settings).exceeds()
    assert not Unacked.of({"a": one}, settings).exceeds(3600)


def test_the_sentence_names_the_settings_and_the_timeout() -> None:
    settings = ConsumerSettings(prefetch=1000, concurrency=10)
    assert Unacked.of({"a": one}, settings).says() == (
        "a delivery waits for its ack for up to 3000 s (prefetch 1000 / concurrency 10"
        " × time_limit 30 s); the consumer timeout is 1800 s (RabbitMQ's default)"
    )


def test_without_a_time_limit_the_sentence_says_that_it_bounds_nothing() -> None:
    settings = ConsumerSettings(time_limit=0, hangs_after=50)
    says = Unacked.of({"a": one}, settings).says()
    assert "× hangs_after 50 s, as time_limit is 0 and bounds nothing" in says


def test_a_consumer_names_each_version_once_and_warns_of_trouble_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "outbox")
    traps = BrokerTraps("q", Topology([], []), Unacked(100, 10, 30.0))
    for version in ("4.0.5", "4.0.5", "4.3.1"):
        traps.say(version)
    first, second = caplog.records
    assert (first.levelname, first.getMessage()) == ("INFO", "q: the broker is RabbitMQ 4.0.5")
    assert (second.levelname, "17317" in second.getMessage()) == ("WARNING", True)
