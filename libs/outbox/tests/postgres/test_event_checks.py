"""What is no event is refused when it is added, by the field, and nothing else is lost by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from contracts import EVENTS
from kit.outbox.world import SOURCE, Happened, World
from outbox import InvalidEvent, Outbox
from outbox.errors import EventTooLarge
from outbox.event import MAX_PAYLOAD
from service_processor.metadata import outbox as processor

OUTBOX = Outbox(SOURCE)
ID = UUID("01900000-0000-7000-8000-000000000001")


class Kind(StrEnum):
    PLACED = "order.placed"


@dataclass(frozen=True)
class Returns:
    """An event whose payload is whatever it is given."""

    body: Any
    type: Any = "order.happened"
    version: Any = 1
    aggregate_type: Any = "order"
    aggregate_id: Any = "a"

    def payload(self) -> Any:
        return self.body


GOOD = Returns(b"{}")


@pytest.mark.parametrize(
    ("event", "says"),
    [
        ({"type": "order.placed"}, "event type is missing: dict is no event"),
        (None, "event type is missing: NoneType is no event"),
        (Returns, "event payload is that of a class: give an instance of Returns"),
        (replace(GOOD, type=None), "event type has to be text, not NoneType"),
        (replace(GOOD, type=""), "event type has to be text without NUL, not empty"),
        (replace(GOOD, aggregate_type=7), "event aggregate_type has to be text, not int"),
        (replace(GOOD, aggregate_id=None), "event aggregate_id has to be text, not NoneType"),
        (replace(GOOD, aggregate_id=True), "event aggregate_id has to be text, not bool"),
        (replace(GOOD, aggregate_id="\ud800"), "event aggregate_id is not text that can be .*"),
        (replace(GOOD, aggregate_id="ä" * 128), "event aggregate_id is longer than 255 bytes"),
        (replace(GOOD, version="1"), "event version has to be an int from 1 to 32767, not '1'"),
        (replace(GOOD, version=True), "event version has to be an int .*, not True"),
        (replace(GOOD, version=0), "event version has to be an int .*, not 0"),
        (replace(GOOD, version=32_768), "event version has to be an int .*, not 32768"),
        (replace(GOOD, version=None), "event version has to be an int .*, not None"),
        (Returns({"a": 1}), "event payload has to return bytes, not dict"),
        (Returns("{}"), "event payload has to return bytes, not str"),
        (Returns(None), "event payload has to return bytes, not NoneType"),
        (Returns(b"\xff"), "event payload is not UTF-8"),
        (Returns(b""), "event payload is not JSON: Expecting value: .*"),
        (Returns(b"{'a': 1}"), "event payload is not JSON: Expecting property name .*"),
        (Returns(b"{} x"), "event payload is not JSON: Extra data: .*"),
        (Returns(b"[NaN]"), "event payload is not JSON: NaN is no JSON number .*"),
        (Returns(b'"\x00"'), "event payload is not JSON: Invalid control character .*"),
        (Returns(b"[" * 500_000), "event payload is not JSON: .*"),
    ],
)
async def test_what_is_no_event_names_the_field_and_spares_the_transaction(
    world: World, event: Any, says: str
) -> None:
    async with world.engine.begin() as connection:
        await connection.execute(text("INSERT INTO effects (aggregate_id) VALUES ('kept')"))
        with pytest.raises(InvalidEvent, match=f"^{says}$") as refused:
            await OUTBOX.add(connection, Happened("a"), event)
        assert refused.value.field in says
    assert await world.rows("SELECT aggregate_id FROM effects") == [("kept",)]


def test_a_payload_that_is_no_method_is_refused() -> None:
    event: Any = Happened("a")
    event.__dict__["payload"] = b"{}"
    with pytest.raises(InvalidEvent, match="event payload has to be a method that returns bytes"):
        OUTBOX.rows(event)


def test_a_body_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(EventTooLarge):
        OUTBOX.rows(Returns(b"x" * (MAX_PAYLOAD + 1)))


@pytest.mark.parametrize("id_", [ID, 7, -1, 2**80])
async def test_a_uuid_and_an_int_are_taken_as_text(world: World, id_: Any) -> None:
    async with world.engine.begin() as connection:
        await OUTBOX.add(connection, replace(GOOD, aggregate_id=id_))
    assert await world.rows("SELECT aggregate_id FROM outbox") == [(str(id_),)]


async def test_a_str_enum_is_stored_by_its_value(world: World) -> None:
    async with world.engine.begin() as connection:
        await OUTBOX.add(connection, replace(GOOD, type=Kind.PLACED))
    assert await world.rows("SELECT type FROM outbox") == [("order.placed",)]


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers(), st.lists))
def test_whatever_json_can_say_is_taken(value: object) -> None:
    import json

    OUTBOX.rows(Returns(json.dumps(value).encode()))


@pytest.mark.parametrize("body", [b"9" * 5_000, b"-0.5e-3", b'"\\ud800"', b" \t\r\n{}\n", b"null"])
async def test_odd_but_correct_json_is_taken_as_postgresql_takes_it(
    world: World, body: bytes
) -> None:
    async with world.engine.begin() as connection:
        await OUTBOX.add(connection, Returns(body))
    assert await world.rows("SELECT payload::text FROM outbox") == [(body.decode(),)]


@pytest.mark.parametrize(
    ("aggregate_type", "type_"),
    [("orders", "order.placed"), ("order", "orders.placed"), ("Order", "order.placed")],
)
def test_a_type_of_another_aggregate_is_noticed(aggregate_type: str, type_: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        OUTBOX.rows(replace(GOOD, aggregate_type=aggregate_type, type=type_))
    word = type_.partition(".")[0]
    assert str(refused.value) == (
        f"event type {type_!r} does not begin with its aggregate type {aggregate_type!r};"
        f" where that is meant, Outbox(…, parts={{{aggregate_type!r}: [{word!r}]}}) says so"
    )


def test_a_part_that_was_named_is_taken_in_its_own_aggregate_only() -> None:
    outbox = Outbox(SOURCE, parts={"restaurant": ["table"]})
    outbox.rows(replace(GOOD, aggregate_type="restaurant", type="table.created"))
    outbox.rows(replace(GOOD, aggregate_type="shop.order", type="shop.order.placed"))
    with pytest.raises(InvalidEvent):
        outbox.rows(replace(GOOD, aggregate_type="order", type="table.created"))


def test_all_events_of_the_services_belong_to_their_aggregates() -> None:
    for event in EVENTS:
        one = replace(GOOD, aggregate_type=event.aggregate_type, type=event.type)
        outbox = processor if event.source == processor.source else Outbox(event.source)
        outbox.rows(one)


@pytest.mark.parametrize("at", [datetime(2026, 1, 1), "2026-01-01", None])  # noqa: DTZ001
async def test_a_scheduled_time_needs_a_zone(world: World, at: Any) -> None:
    async with world.engine.begin() as connection:
        with pytest.raises(InvalidEvent, match="event at has to be a datetime with a time zone"):
            await OUTBOX.schedule(connection, GOOD, key="k", at=at)
        await OUTBOX.schedule(connection, GOOD, key="k", at=datetime.now(UTC))


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
async def test_a_scheduled_time_is_one_that_every_zone_knows(world: World, at: str) -> None:
    async with world.engine.begin() as connection:
        with pytest.raises(InvalidEvent, match="event at has to be a time between the years"):
            await OUTBOX.schedule(connection, GOOD, key="k", at=datetime.fromisoformat(at))
