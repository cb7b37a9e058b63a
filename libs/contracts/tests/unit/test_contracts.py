"""An event that was published once can be read for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from contracts import (
    EVENTS,
    EXCHANGES,
    SUBSCRIPTIONS,
    UNSUBSCRIBED,
    BookingCancelled,
    BookingChecking,
    BookingConfirmed,
    BookingCreated,
    BookingRejected,
    Contract,
    OrderCancelled,
    OrderCreated,
    OrderedProduct,
    OrderProcessed,
    OrderProcessingStarted,
    PaymentClearDeclined,
    PaymentCleared,
    PaymentDeclined,
    PaymentHeld,
    PaymentReleased,
    RentalFinished,
    RentalStarted,
    ReservationCreated,
    ReservationDeleted,
    RestaurantCreated,
    TableCreated,
    TableDeleted,
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
    events_of,
)
from contracts.asyncapi import document

GOLDEN = Path(__file__).parents[1] / "golden"
ASYNCAPI = Path(__file__).parents[4] / "docs" / "asyncapi.yaml"
ORDER, NOW = UUID("01900000-0000-7000-8000-000000000001"), datetime(2026, 1, 31, 12, tzinfo=UTC)
BEGIN, END = datetime(2026, 5, 1, 17, tzinfo=UTC), datetime(2026, 5, 1, 19, tzinfo=UTC)
TICKET = UUID("01900000-0000-7000-8000-000000000002")
RENTAL = UUID("01900000-0000-7000-8000-000000000004")
COMMENT = UUID("01900000-0000-7000-8000-000000000003")

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
    BookingCreated(
        booking_id=7,
        restaurant_id=1,
        starts_at=BEGIN,
        ends_at=END,
        guests_count=4,
        created_at=NOW,
    ),
    BookingCancelled(booking_id=7, cancelled_at=NOW),
    BookingChecking(booking_id=7, started_at=NOW),
    BookingConfirmed(booking_id=7, table_id=3, confirmed_at=NOW),
    BookingRejected(booking_id=7, reason="no table free", rejected_at=NOW),
    RestaurantCreated(
        restaurant_id=1,
        name="Trattoria",
        address="Harbour Street 1",
        description=None,
        timezone="Europe/Rome",
        created_at=NOW,
    ),
    TableCreated(
        restaurant_id=1, table_id=3, name="T3", seats=4, location="window", created_at=NOW
    ),
    TableDeleted(restaurant_id=1, table_id=3, deleted_at=NOW),
    ReservationCreated(
        reservation_id=9,
        table_id=3,
        customer_name="Ada",
        starts_at=BEGIN,
        ends_at=END,
        created_at=NOW,
    ),
    ReservationDeleted(reservation_id=9, deleted_at=NOW),
    TicketCreated(
        ticket_id=TICKET,
        ticket_version=1,
        subject="No sound",
        email="ann@example.com",
        status="open",
        created_at=NOW,
    ),
    TicketStatusChanged(
        ticket_id=TICKET,
        ticket_version=2,
        email="ann@example.com",
        previous="open",
        status="answered",
        reason=None,
        changed_at=NOW,
    ),
    TicketCommented(
        ticket_id=TICKET,
        ticket_version=3,
        comment_id=COMMENT,
        email="bob@example.com",
        commented_at=NOW,
    ),
    TicketCommentDeleted(ticket_id=TICKET, ticket_version=4, comment_id=COMMENT, deleted_at=NOW),
    TicketCloseDue(ticket_id=TICKET, status_version=2, status="answered", due_at=NOW),
    RentalStarted(
        rental_id=RENTAL, user_id="user-1", scooter_id="scooter-1", deposit=300, started_at=NOW
    ),
    RentalFinished(rental_id=RENTAL, total_amount=69, finished_at=NOW),
    PaymentHeld(rental_id=RENTAL, amount=300, held_at=NOW),
    PaymentDeclined(rental_id=RENTAL, amount=300, declined_at=NOW),
    PaymentCleared(rental_id=RENTAL, amount=69, cleared_at=NOW),
    PaymentClearDeclined(rental_id=RENTAL, amount=69, declined_at=NOW),
    PaymentReleased(rental_id=RENTAL, amount=300, released_at=NOW),
)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.type)
def test_an_event_is_written_as_its_golden_sample(sample: Contract) -> None:
    golden = GOLDEN / f"{sample.type}.v{sample.version}.json"
    assert json.loads(sample.payload()) == json.loads(golden.read_bytes())


@pytest.mark.parametrize("golden", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_every_golden_sample_of_any_version_can_be_read(golden: Path) -> None:
    kind = {event.type: event for event in EVENTS}[golden.stem.rpartition(".v")[0]]
    assert kind.parse(golden.read_bytes()) in SAMPLES


@dataclass(frozen=True)
class Came:
    """An event as a handler gets it."""

    aggregate_id: str
    payload: bytes


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.type)
def test_a_body_has_to_be_about_the_aggregate_in_whose_stream_it_came(sample: Contract) -> None:
    kind = type(sample)
    assert kind.from_envelope(Came(sample.aggregate_id, sample.payload())) == sample
    with pytest.raises(ValidationError, match="another aggregate"):
        kind.from_envelope(Came(sample.aggregate_id + "0", sample.payload()))


def texts(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every free text in a JSON schema, with its name."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"enum", "const", "format"} & set(schema):
            yield name, schema
        for key, value in schema.items():
            if key != "amount":  # a decimal, see below
                yield from texts(value, key)
    elif isinstance(schema, list):
        for value in schema:
            yield from texts(value, name)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_text_of_an_event_has_a_maximum(event: type[Contract]) -> None:
    for name, schema in texts(event.model_json_schema()):
        assert "maxLength" in schema, name


UNSEEN = "\0\x1b\n\x7f\x9f\u061c\u200b\u200e\u200f\u2028\u202e\u2060\u2066\ufeff"


def test_a_name_that_hides_what_it_is_is_unreadable() -> None:
    [sample] = [sample for sample in SAMPLES if isinstance(sample, OrderCreated)]
    for sign in UNSEEN:
        body = json.loads(sample.payload()) | {"user_id": f"a{sign}b"}
        with pytest.raises(ValidationError):
            OrderCreated.parse(json.dumps(body).encode())


@pytest.mark.parametrize("reason", ["no stock of می‌خواهم", "👩‍🚀 is away", "ñ"])
def test_a_reason_in_any_script_is_read(reason: str) -> None:
    [sample] = [sample for sample in SAMPLES if isinstance(sample, OrderProcessed)]
    body = json.loads(sample.payload()) | {"reason": reason}
    assert OrderProcessed.parse(json.dumps(body).encode()).reason == reason


def test_a_reason_of_many_characters_or_unseen_ones_is_unreadable() -> None:
    [sample] = [sample for sample in SAMPLES if isinstance(sample, OrderProcessed)]
    for reason in ("x" * 1_001, *(f"a{sign}b" for sign in UNSEEN)):
        body = json.loads(sample.payload()) | {"reason": reason}
        with pytest.raises(ValidationError):
            OrderProcessed.parse(json.dumps(body).encode())


def test_an_amount_of_many_digits_is_unreadable() -> None:
    [sample] = [sample for sample in SAMPLES if isinstance(sample, OrderCreated)]
    body = json.loads(sample.payload()) | {"amount": "1" * 13}
    with pytest.raises(ValidationError):
        OrderCreated.parse(json.dumps(body).encode())


def test_every_event_has_a_sample() -> None:
    assert {type(sample) for sample in SAMPLES} == set(EVENTS)


def test_a_field_that_we_do_not_know_is_ignored() -> None:
    [sample] = [sample for sample in SAMPLES if isinstance(sample, OrderCancelled)]
    body = json.loads(sample.payload()) | {"added_later": 1}
    assert OrderCancelled.parse(json.dumps(body).encode()) == sample


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_goes_to_the_queue_of_its_aggregate_or_is_listed(event: type[Contract]) -> None:
    first_word = event.type.partition(".")[0]
    takers = [s for s in SUBSCRIPTIONS if s.source == event.source and first_word in s.first_words]
    assert [event.aggregate_type in s.aggregate_types for s in takers] == [True] or (
        not takers and first_word == event.aggregate_type in UNSUBSCRIBED
    )


def test_no_queue_takes_a_part_of_a_stream() -> None:
    for subscription in SUBSCRIPTIONS:
        words = {event.type.partition(".")[0] for event in events_of(subscription)}
        assert words == set(subscription.first_words), subscription


def test_event_types_are_unique_and_come_from_a_known_source() -> None:
    assert len({event.type for event in EVENTS}) == len(EVENTS)
    assert {event.source for event in EVENTS} <= {exchange.source for exchange in EXCHANGES}


def test_the_asyncapi_document_is_up_to_date() -> None:
    assert json.loads(ASYNCAPI.read_text()) == document(), (
        "write it anew: venv/bin/python -m contracts.asyncapi > docs/asyncapi.yaml"
    )
