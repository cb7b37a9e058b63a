"""Every event that a queue takes is handled by its consumer, or ignored on purpose."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from contracts import EVENTS, SUBSCRIPTIONS, Subscription
from outbox import Handlers
from service_orders.domains import DOMAINS
from service_processor.domains import domains
from service_processor.settings import Settings


def consumers() -> Mapping[str, Handlers]:
    """The handlers of both services by queue."""
    both = (*DOMAINS, *domains(Settings.model_construct()))
    return {domain.queue: domain.handlers for domain in both if domain.queue}


def taken_by(subscription: Subscription) -> set[str]:
    """The types that reach a queue."""
    return {
        event.type
        for event in EVENTS
        if event.source == subscription.source
        and event.aggregate_type in subscription.aggregate_types
    }


@pytest.mark.parametrize("subscription", SUBSCRIPTIONS, ids=lambda taken: taken.queue)
def test_a_queue_takes_what_its_consumer_handles_or_ignores(subscription: Subscription) -> None:
    assert set(consumers()[subscription.queue]) == taken_by(subscription)


def test_no_queue_is_consumed_that_nothing_is_sent_to() -> None:
    assert set(consumers()) == {subscription.queue for subscription in SUBSCRIPTIONS}
