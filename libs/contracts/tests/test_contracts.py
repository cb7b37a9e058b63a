"""An event that was published once can be read for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from contracts import (
    EVENTS,
    EXCHANGES,
    SUBSCRIPTIONS,
    UNSUBSCRIBED,
    Contract,
    OrderCancelled,
    OrderCreated,
    OrderedProduct,
    OrderProcessed,
    OrderProcessingStarted,
)
from contracts.asyncapi import document

GOLDEN = Path(__file__).parent / "golden"
ASYNCAPI = Path(__file__).parents[3] / "docs" / "asyncapi.yaml"
ORDER, NOW = UUID("01900000-0000-7000-8000-000000000001"), datetime(2026, 1, 31, 12, tzinfo=UTC)

SAMPLES: tuple[Contract, ...] = (
    OrderCreated(
        order_id=ORDER,
        user_id="user_1",
        products=(OrderedProduct(product_id="product_001", quantity=2),),
        amount=Decimal(140),
        created_at=NOW,
    ),
    OrderCancelled(order_id=ORDER, cancelled_at=NOW),
    OrderProcessingStarted(order_id=ORDER, started_at=NOW),
    OrderProcessed(order_id=ORDER, outcome="FAILED", reason="no stock", processed_at=NOW),
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.type)
def test_an_event_is_written_as_its_golden_sample(sample: Contract) -> None:
    golden = GOLDEN / f"{sample.type}.v{sample.version}.json"
    assert json.loads(sample.payload()) == json.loads(golden.read_bytes())


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_sample_of_any_version_can_be_read(golden: Path) -> None:
    kind = {event.type: event for event in EVENTS}[golden.stem.rpartition(".v")[0]]
    assert kind.parse(golden.read_bytes()) in SAMPLES


def test_every_event_has_a_sample() -> None:
    assert {type(sample) for sample in SAMPLES} == set(EVENTS)


def test_a_field_that_we_do_not_know_is_ignored() -> None:
    [sample] = [sample for sample in SAMPLES if isinstance(sample, OrderCancelled)]
    body = json.loads(sample.payload()) | {"added_later": 1}
    assert OrderCancelled.parse(json.dumps(body).encode()) == sample


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_type_begins_with_its_aggregate_and_is_routed_or_listed(
    event: type[Contract],
) -> None:
    assert event.type.startswith(f"{event.aggregate_type}.")
    subscribed = {(s.source, s.aggregate_type) for s in SUBSCRIPTIONS}
    assert (event.source, event.aggregate_type) in subscribed or (
        event.aggregate_type in UNSUBSCRIBED
    )


def test_event_types_are_unique_and_come_from_a_known_source() -> None:
    assert len({event.type for event in EVENTS}) == len(EVENTS)
    assert {event.source for event in EVENTS} <= {exchange.source for exchange in EXCHANGES}


def test_the_asyncapi_document_is_up_to_date() -> None:
    assert json.loads(ASYNCAPI.read_text()) == document(), (
        "write it anew: venv/bin/python -m contracts.asyncapi > docs/asyncapi.yaml"
    )
