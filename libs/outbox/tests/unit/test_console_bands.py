"""From the newest figures of two services to the picture's bands, and what counts as trouble."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from outbox import Subscription
from outbox.console.flow_bands import ServiceState, bands, troubles_beside
from outbox.console.flow_picture import troubles
from outbox.console.samples import Sample
from outbox.inbox.missing_events import MissingCount
from outbox.inbox.tripped_types import TrippedType
from outbox.jobs import JobCount
from outbox.operations.controls import Control
from outbox.operations.flow import (
    Applied,
    ConsumerFlow,
    Flow,
    OutboxFlow,
    Parked,
    Published,
    Waiting,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OUTBOX = OutboxFlow("shop", 100, Published(20, 0.004, 0.02), Waiting(0, None), 0, 0, relays=1)
CONSUMER = ConsumerFlow(
    "kitchen.orders",
    ("shop",),
    Applied("kitchen.orders", 30, 0.05, 0.2),
    Parked("kitchen.orders", 0, 0, None),
)


def link(route: str, **query: object) -> str:
    return f"/{route}?{urlencode(query)}"


def state(name: str, outbox: OutboxFlow | None = None, *consumers: ConsumerFlow) -> ServiceState:
    flow = Flow(NOW, outbox, list(consumers), [])
    return ServiceState(name, Sample(10.0, flow, 2.0, {one.consumer: 5 for one in consumers}))


def test_a_producer_has_a_leg_for_each_consumer_of_its_source() -> None:
    other = replace(CONSUMER, consumer="kitchen.rest", sources=("elsewhere",))

    [band] = bands([state("shop", OUTBOX), state("kitchen", None, CONSUMER, other)], link)

    [leg] = band.legs
    assert (leg.queue, leg.consumer) == ("kitchen.orders", "kitchen")
    assert (band.publishing.rate, leg.leaving.rate, leg.arriving.waiting) == (10.0, 15.0, 5)
    assert leg.leaving.p99 == 0.2
    assert troubles([band]) == []


def test_what_is_written_is_the_growth_of_the_ids() -> None:
    newest = state("shop", OUTBOX)
    before = state("shop", replace(OUTBOX, last_id=60)).sample

    [band] = bands([replace(newest, before=before)], link)

    assert band.writing.rate == 20.0


def test_a_subscription_that_has_received_nothing_is_drawn_too() -> None:
    subscribed = Subscription("the-exchange", "kitchen.new", "shop", ("order",))
    kitchen = replace(state("kitchen", None), subscriptions=(subscribed,), queues=("kitchen.new",))

    [band] = bands([state("shop", OUTBOX), kitchen], link)

    assert band.exchange == "the-exchange"
    assert [(leg.queue, leg.consumer) for leg in band.legs] == [("kitchen.new", "kitchen")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"parked": 2}, "2 events are parked"),
        ({"backed_off": 1}, "1 event comes back"),
        ({"relays": 0}, "no relay is connected"),
        ({"waiting": Waiting(7, 61.0)}, "7 wait over a minute"),
        ({"waiting": Waiting(7, 59.0)}, None),
    ],
)
def test_what_keeps_events_in_the_outbox_is_trouble(
    changes: dict[str, object], reason: str | None
) -> None:
    drawn = bands([state("shop", replace(OUTBOX, **changes))], link)  # type: ignore[arg-type]

    assert [one.reason for one in troubles(drawn)] == ([reason] if reason else [])
    assert all(one.href == "/outbox?service=shop" for one in troubles(drawn))


def test_events_that_wait_behind_a_pause_are_no_trouble() -> None:
    paused = Control("shop", "", 0.0, "ann", "", NOW, None, None)
    old = replace(OUTBOX, waiting=Waiting(7, 100.0))
    flow = Flow(NOW, old, None, [paused])

    drawn = bands([ServiceState("shop", Sample(10.0, flow, 2.0))], link)

    assert troubles(drawn) == []
    assert drawn[0].publishing.control == "paused"


@pytest.mark.parametrize(
    ("parked", "reason"),
    [
        (Parked("kitchen.orders", 9, 3, 5.0), "3 events failed"),
        (Parked("kitchen.orders", 9, 0, 100.0), "9 events are parked"),
        (Parked("kitchen.orders", 9, 0, 5.0), None),
    ],
)
def test_what_a_consumer_cannot_apply_is_trouble_that_leads_to_its_failures(
    parked: Parked, reason: str | None
) -> None:
    kitchen = state("kitchen", None, replace(CONSUMER, parked=parked))

    found = troubles(bands([state("shop", OUTBOX), kitchen], link))

    assert [one.reason for one in found] == ([reason] if reason else [])
    if found:
        assert found[0].href == "/failures?service=kitchen&consumer=kitchen.orders"


def test_failures_of_events_from_elsewhere_are_trouble_beside_the_picture() -> None:
    failing = replace(CONSUMER, parked=Parked("kitchen.orders", 9, 3, 5.0))

    [found] = troubles_beside([state("kitchen", None, failing)], link)

    assert found.reason == "3 events failed"
    assert (
        list(troubles_beside([state("shop", OUTBOX), state("kitchen", None, failing)], link)) == []
    )


def test_tripped_types_lost_events_and_failed_jobs_are_trouble_beside_the_picture() -> None:
    tripped = TrippedType("kitchen.orders", "order.paid", "ConnectError", NOW, 0, NOW, 0.0)
    lost = MissingCount("kitchen.orders", "shop", "lost", 1, 2, NOW, None, "shop/order/1")
    awaited = replace(lost, state="awaited")
    failed = JobCount("pay", "failed", 3, NOW, 1.0)
    flow = Flow(NOW, None, [], [], [tripped], [lost, awaited], [failed])

    found = troubles_beside([ServiceState("kitchen", Sample(10.0, flow))], link)

    assert [one.reason for one in found] == [
        "kitchen.orders has closed order.paid: ConnectError",
        "2 events are lost for kitchen.orders",
        "3 pay jobs failed",
    ]


def test_a_service_that_does_not_answer_is_drawn_with_its_trouble() -> None:
    gone = ServiceState("shop", Sample(10.0, None, problem="its database does not answer"))

    [band] = bands([gone], link)

    assert [one.reason for one in troubles([band])] == ["its database does not answer"]
