"""`outbox parked edit`: a parked event gets another body, from a file or from stdin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from kit.outbox.deliveries import events
from kit.outbox.operator import Pair, effects, open_pair
from kit.outbox.operator import record as takes_effect
from kit.outbox.world import QUEUE, running
from kit.waiting import eventually
from outbox import Envelope, InboxSettings, Retry, UnitOfWork
from outbox.cli import parked_edit
from outbox.inbox.inbox import Inbox

EDIT = ("parked", "edit", QUEUE, "shop/order/a", "1")
GOOD = '{"meal": "soup"}'


async def cook(unit: UnitOfWork, event: Envelope) -> None:
    if event.sequence == 1 and b"soup" not in event.payload:
        raise ValueError("no such meal")
    await takes_effect(unit, event)


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    """The consumer has parked an event that failed, and one behind it."""
    async with open_pair(broker_url) as opened:
        settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)})
        inbox = Inbox(QUEUE, {"order.happened": cook}, opened.consumer.work, settings)
        await inbox.handle(events(2, "a"))
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> str:
    body = tmp_path / "body.json"
    body.write_text(GOOD)
    return str(body)


async def has_effects(pair: Pair) -> bool:
    return await effects(pair.consumer) == {"a": [1, 2]}


async def test_an_edited_event_and_its_follower_take_effect(pair: Pair, file: str) -> None:
    said = await pair.at_consumer(*EDIT, "--body", file, answer="n\n", status=3)
    assert "Give it the new body and try it now? 1 event waits behind." in said.err
    assert f"  new body: {GOOD}" in said.out
    async with running(pair.consumer.consumer(cook)):
        await pair.at_consumer(*EDIT, "--body", file, "--note", "a typo", answer="y\n")
        await eventually(lambda: has_effects(pair))
    kept = "SELECT reason, note FROM inbox_discarded"
    assert await pair.consumer.rows(kept) == [("edited", "a typo")]
    [row] = (await pair.at_consumer("history", "--json")).json
    assert (row["what"], row["note"], row["outcome"]) == ("edit parked", "a typo", "done")
    said = await pair.at_consumer(*EDIT, "--body", file, "--yes", status=2)
    assert "none is there" in said.err


async def test_a_body_from_stdin_needs_yes(pair: Pair) -> None:
    said = await pair.at_consumer(*EDIT, "--body", "-", answer=GOOD, status=2)
    assert "give --yes" in said.err
    said = await pair.at_consumer(*EDIT, "--body", "-", "--yes", "--json", answer=GOOD)
    assert said.json["was"]["sequence"] == 1
    said = await pair.at_consumer("parked", "show", QUEUE, "shop/order/a", "--json")
    assert said.json[0]["body"] == GOOD


async def test_what_no_producer_could_have_sent_is_refused(pair: Pair, tmp_path: Path) -> None:
    said = await pair.at_consumer(*EDIT, "--body", "-", "--yes", answer="{", status=2)
    assert "JSON" in said.err
    missing = str(tmp_path / "missing.json")
    said = await pair.at_consumer(*EDIT, "--body", missing, "--yes", status=2)
    assert "No such file" in said.err
    assert (await pair.at_consumer("parked", "list", "--json")).json[0]["reason"] == "failed"


async def test_an_event_whose_body_changes_before_the_answer_is_left_alone(
    pair: Pair, file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_else_edits(_question: str, *, yes: bool) -> None:
        with psycopg.connect(pair.consumer.database_url) as connection:
            connection.execute("UPDATE inbox_parked SET body = '[1]'")

    monkeypatch.setattr(parked_edit, "confirm", somebody_else_edits)
    said = await pair.at_consumer(*EDIT, "--body", file, status=1)
    assert "nothing was changed" in said.err


async def test_one_of_two_events_at_a_sequence_is_named(pair: Pair, file: str) -> None:
    await pair.consumer.execute(
        "INSERT INTO inbox_parked SELECT (json_populate_record(parked, json_build_object("
        " 'event_id', gen_random_uuid()))).* FROM inbox_parked parked WHERE sequence = 1"
    )
    said = await pair.at_consumer(*EDIT, "--body", file, "--yes", status=2)
    assert "2 are there" in said.err
    shown = await pair.at_consumer("parked", "show", QUEUE, "shop/order/a", "--json")
    chosen = shown.json[0]["event_id"]
    said = await pair.at_consumer(*EDIT, "--body", file, "--event-id", chosen, "--yes", "--json")
    assert said.json["was"]["event_id"] == chosen
