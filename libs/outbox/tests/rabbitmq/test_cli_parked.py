"""`outbox parked`: what a person does about events that a consumer has parked."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest

from kit.outbox.deliveries import events
from kit.outbox.operator import Pair, effects, open_pair, record
from kit.outbox.world import QUEUE, Happened, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def fails(unit: UnitOfWork, event: Envelope) -> None:
    if event.stream.aggregate_id == "poison":
        raise ValueError("no such [meal]")
    await record(unit, event)


async def parked_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM inbox_parked") == [(count,)]


async def effects_are(pair: Pair, count: int) -> bool:
    return await pair.consumer.rows("SELECT count(*) FROM effects") == [(count,)]


@pytest.fixture
async def poisoned(pair: Pair) -> Pair:
    """Three events of one aggregate wait behind a handler that failed the first of them."""
    async with running(pair.producer.relay(), pair.consumer.consumer(fails)):
        await pair.producer.emit(*(Happened("poison", n) for n in range(3)), Happened("fine"))
        await eventually(lambda: parked_are(pair, 3))
        await eventually(lambda: effects_are(pair, 1))
        await eventually(lambda: pair.producer.has_unpublished(0))
    return pair


async def test_parked_events_are_listed_with_their_reason(poisoned: Pair) -> None:
    said = await poisoned.at_consumer("parked", "list", "--json")
    assert [(e["sequence"], e["reason"]) for e in said.json] == [
        (1, "failed"),
        (2, "behind"),
        (3, "behind"),
    ]
    said = await poisoned.at_consumer("parked", "list", "--consumer", QUEUE, "--reason", "failed")
    assert "no such [meal]" in said.out
    assert "1 event" in said.out


async def test_show_prints_the_body(poisoned: Pair) -> None:
    said = await poisoned.at_consumer("parked", "show", QUEUE, "shop/order/poison")
    assert '{"number": 2}' in said.out
    assert re.search(r"  failed: 20\S+ \S+Z ValueError$", said.out, re.MULTILINE)
    await poisoned.at_consumer("parked", "show", QUEUE, "shop/order/nobody", status=1)
    await poisoned.at_consumer("parked", "show", QUEUE, "nonsense", status=2)


async def test_a_redriven_stream_is_applied_in_order_once_the_handler_is_mended(
    poisoned: Pair,
) -> None:
    await poisoned.consumer.execute(
        "UPDATE inbox_parked SET next_attempt_at = NULL, attempts = 10 WHERE reason = 'failed'"
    )
    async with running(poisoned.consumer.consumer(record)):
        said = await poisoned.at_consumer("parked", "redrive", QUEUE, "--yes", "--json")
        assert said.json["streams"] == 1
        await eventually(lambda: effects_are(poisoned, 4))
    assert (await effects(poisoned.consumer))["poison"] == [1, 2, 3]


async def test_a_cause_is_shown_and_its_group_redriven_after_a_question(poisoned: Pair) -> None:
    [group] = (await poisoned.at_consumer("parked", "groups", "--json")).json
    assert group["cause"] == f"ValueError in {__name__}.fails"
    assert (group["streams"], group["events"], group["followers"]) == (1, 1, 2)
    said = await poisoned.at_consumer("parked", "groups", "--error", "no such")
    assert group["fingerprint"] in said.out
    assert "1 group" in said.out
    redrive = ("parked", "redrive", QUEUE, "--group", group["fingerprint"])
    said = await poisoned.at_consumer(*redrive, "--dry-run")
    assert "1 stream to try. 2 events wait behind." in said.out
    said = await poisoned.at_consumer(*redrive, answer="n\n", status=3)
    assert "Try the first event of 1 stream now? 2 events wait behind." in said.err
    said = await poisoned.at_consumer(*redrive, answer="y\n")
    assert "1 stream is tried now" in said.out
    said = await poisoned.at_consumer("parked", "redrive", QUEUE, "--group", "nothing", "--json")
    assert (said.json["selected"]["streams"], said.json["streams"]) == (0, 0)


async def test_status_and_doctor_name_what_most_streams_wait_for(poisoned: Pair) -> None:
    [group] = (await poisoned.at_consumer("parked", "groups", "--json")).json
    said = await poisoned.at_consumer("status", "--json")
    assert [one["fingerprint"] for one in said.json["inbox"]["groups"]] == [group["fingerprint"]]
    assert "most streams wait for" in (await poisoned.at_consumer("status")).out
    said = await poisoned.at_consumer("doctor", "--json", status=1)
    [found] = [one for one in said.json["findings"] if "--group" in one["fix"]]
    assert found["says"] == (
        f"{QUEUE}: 1 stream stops at order.happened, 2 behind: {group['cause']};"
        f" such as {group['sample']} in shop/order/poison: ValueError: no such [meal]"
    )
    assert f"`outbox parked redrive {QUEUE} --group {group['fingerprint']}`" in found["fix"]


async def test_all_events_with_one_error_are_discarded_after_a_question(poisoned: Pair) -> None:
    await poisoned.at_consumer("parked", "discard", QUEUE, status=2)
    await poisoned.at_consumer("parked", "discard", QUEUE, "shop/order/poison", status=2)
    discard = ("parked", "discard", QUEUE, "--error", "no such [MEAL]", "--type", "order.happened")
    said = await poisoned.at_consumer(*discard, "--dry-run")
    assert "1 event to discard. 2 events wait behind." in said.out
    said = await poisoned.at_consumer(*discard, answer="n\n", status=3)
    assert "Discard 1 event of 1 stream for ever? 2 events wait behind." in said.err
    said = await poisoned.at_consumer(*discard, "--yes", "--note", "never a meal", "--json")
    assert said.json["events"] == 1
    async with running(poisoned.consumer.consumer(record)):
        await eventually(lambda: effects_are(poisoned, 3))
    assert (await effects(poisoned.consumer))["poison"] == [2, 3]


async def test_a_discarded_event_never_takes_effect_and_those_behind_it_flow(
    poisoned: Pair,
) -> None:
    words = ("parked", "discard", QUEUE, "shop/order/poison", "1", "--note", "never a meal")
    await poisoned.at_consumer(*words, answer="n\n", status=3)
    await poisoned.at_consumer(*words, "--yes")
    await poisoned.at_consumer(*words, "--yes", status=2)
    async with running(poisoned.consumer.consumer(record)):
        await eventually(lambda: effects_are(poisoned, 3))
    assert (await effects(poisoned.consumer))["poison"] == [2, 3]


async def test_a_gap_can_be_seen_and_skipped(pair: Pair) -> None:
    async with running(pair.producer.relay()):
        await pair.producer.emit(Happened("a"), Happened("a"))
        await eventually(lambda: pair.producer.has_unpublished(0))
    await pair.producer.delivered(1)
    async with running(pair.consumer.consumer(record)):
        await eventually(lambda: parked_are(pair, 1))
        said = await pair.at_consumer("parked", "gaps", QUEUE, "--json")
        assert [(gap["first"], gap["last"], gap["waiting"]) for gap in said.json] == [(1, 1, 1)]
        said = await pair.at_consumer("parked", "skip", QUEUE, "shop/order/a", "--yes", "--json")
        assert said.json == {"first": 1, "last": 1}
        await eventually(lambda: effects_are(pair, 1))
    assert await effects(pair.consumer) == {"a": [2]}


async def test_a_skip_says_what_it_skips_and_never_skips_the_future(pair: Pair) -> None:
    inbox = pair.consumer.consumer(record).inbox
    skip = ("parked", "skip", QUEUE, "shop/order/a")
    await inbox.handle(events(5, "a"))
    await pair.at_consumer(*skip, "--yes", status=2)
    await pair.at_consumer(*skip, "--through", "1000", "--yes", status=2)
    await inbox.handle(events(1, "a", first=8))
    said = await pair.at_consumer(*skip, answer="n\n", status=3)
    assert "is at 5, the first waiting event is 8. Skip 6 to 7?" in said.err
    await inbox.handle(events(2, "a", first=6))
    said = await pair.at_consumer(*skip, "--through", "9", "--tail", "--yes", "--json")
    assert said.json == {"first": 9, "last": 9}
    assert await effects(pair.consumer) == {"a": [1, 2, 3, 4, 5, 6, 7, 8]}
