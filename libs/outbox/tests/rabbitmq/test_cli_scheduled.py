"""`outbox scheduled`: events that are not due yet, and what a person does about them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import SOURCE, Happened, running
from outbox.cli import scheduled


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    """Three events are due in one, two and three hours."""
    async with open_pair(broker_url) as opened:
        async with opened.producer.work.begin() as unit:
            for hours, key in enumerate(("close a", "close b", "remind c"), 1):
                at = datetime.now(UTC) + timedelta(hours=hours)
                await unit.schedule(Happened(key), key=key, at=at)
        yield opened


async def keys(pair: Pair, *words: str) -> list[str]:
    said = await pair.say("scheduled", "list", "--json", *words)
    return [event["key"] for event in said.json]


async def test_scheduled_events_are_listed_by_time_prefix_and_type(pair: Pair) -> None:
    assert await keys(pair) == ["close a", "close b", "remind c"]
    assert await keys(pair, "--prefix", "close") == ["close a", "close b"]
    assert await keys(pair, "--type", "order.other") == []
    first = await pair.say("scheduled", "list", "--limit", "2")
    assert "close b" in first.out
    assert "2 scheduled events" in first.out
    assert await keys(pair, "--after", first.err.split()[-1]) == ["remind c"]


async def test_show_prints_a_scheduled_events_body(pair: Pair) -> None:
    assert '  body: {"number": 0}' in (await pair.say("scheduled", "show", SOURCE, "close a")).out
    said = await pair.say("scheduled", "show", SOURCE, "close z", status=1)
    assert "shop has no scheduled event 'close z'" in said.err
    assert (await pair.say("scheduled", "show", SOURCE, "z", "--json", status=1)).json == []


async def test_an_event_that_is_sent_now_is_published_at_once(pair: Pair) -> None:
    send = ("scheduled", "send-now", SOURCE, "remind c")
    said = await pair.say(*send, answer="n\n", status=3)
    assert "order.happened" in said.out
    async with running(pair.producer.relay()):
        said = await pair.say(*send, answer="y\n")
        [message] = await pair.producer.delivered(1)
    assert message.headers["sequence"] == 1
    assert "remind c is due now; a relay publishes it" in said.out
    assert "it was sent, or unscheduled" in (await pair.say(*send, "--yes", status=2)).err


async def test_an_event_is_moved_to_a_time_or_by_a_duration_from_now(pair: Pair) -> None:
    move = ("scheduled", "move", SOURCE, "close a")
    await pair.say(*move, "tomorrow", "--yes", status=2)
    await pair.say(*move, "40000d", "--yes", status=2)
    said = await pair.say(*move, "2d", answer="y\n")
    assert "Let it be due at 20" in said.err
    assert await keys(pair) == ["close b", "remind c", "close a"]
    assert (await pair.say(*move, "2030-01-01T00:00", "--yes", "--json")).json["was"]["key"]
    said = await pair.say("scheduled", "show", SOURCE, "close a", "--json")
    assert said.json[0]["due_at"].startswith("2030-01-01T00:00:00")


async def test_an_unscheduled_event_is_gone_and_the_history_says_why(pair: Pair) -> None:
    unschedule = ("scheduled", "unschedule", SOURCE, "close b", "--note", "sold")
    await pair.say(*unschedule, answer="n\n", status=3)
    said = await pair.say(*unschedule, "--yes", "--json")
    assert said.json["was"]["payload"] == '{"number": 0}'
    assert await keys(pair) == ["close a", "remind c"]
    [row] = (await pair.say("history", "--json")).json
    assert (row["what"], row["target"], row["note"]) == ("unschedule", "shop close b", "sold")


async def test_an_event_that_moves_before_the_answer_is_left_alone(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def the_application_moves_it(_question: str, *, yes: bool) -> None:
        with psycopg.connect(pair.producer.database_url) as connection:
            connection.execute("UPDATE outbox_scheduled SET due_at = due_at + interval '1 hour'")

    monkeypatch.setattr(scheduled, "confirm", the_application_moves_it)
    said = await pair.say("scheduled", "unschedule", SOURCE, "close a", status=1)
    assert "nothing was changed" in said.err
    assert len(await keys(pair)) == 3
