"""`outbox history`, and what a command does when others have changed what it asked about."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator

import psycopg
import pytest

from kit.outbox.deliveries import events
from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import QUEUE
from outbox import Envelope, InboxSettings, Retry, UnitOfWork
from outbox.cli import parked_changes
from outbox.inbox.inbox import Inbox


async def fails(_: UnitOfWork, event: Envelope) -> None:
    raise ValueError(f"no such [meal] {event.sequence}")


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    """Two streams of the consumer wait behind a first event that failed."""
    async with open_pair(broker_url) as opened:
        settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)})
        inbox = Inbox(QUEUE, {"order.happened": fails}, opened.consumer.work, settings)
        for name in "ab":
            await inbox.handle(events(2, name))
        yield opened


async def test_every_command_that_changes_something_is_in_the_history(pair: Pair) -> None:
    await pair.at_consumer("parked", "redrive", QUEUE, "--yes")
    await pair.at_consumer("pause", QUEUE, "--why", "deploy", "--by", "ann")
    await pair.at_consumer("resume", QUEUE)
    await pair.at_consumer(
        "parked", "discard", QUEUE, "shop/order/a", "1", "--yes", "--note", "too old"
    )
    found = (await pair.at_consumer("history", "--json")).json
    me = getpass.getuser()
    assert [(row["what"], row["actor"], row["via"], row["outcome"]) for row in found] == [
        ("discard parked", me, "cli", "done"),
        ("resume", me, "cli", "done"),
        ("pause", "ann", "cli", "done"),
        ("redrive parked", me, "cli", "done"),
    ]
    assert (found[0]["note"], found[3]["events"]) == ("too old", 2)
    shown = await pair.at_consumer("history", "--limit", "1")
    assert "too old" in shown.out
    after = shown.err.split()[-1]
    rest = (await pair.at_consumer("history", "--after", after, "--json")).json
    assert rest == found[1:]
    mine = (await pair.at_consumer("history", "--actor", "ann", "--json")).json
    assert [row["what"] for row in mine] == ["pause"]


async def test_questions_are_not_in_the_history(pair: Pair) -> None:
    await pair.at_consumer("parked", "redrive", QUEUE, "--dry-run")
    await pair.at_consumer("parked", "redrive", QUEUE, answer="n\n", status=3)
    await pair.at_consumer("parked", "list")
    assert (await pair.at_consumer("history", "--json")).json == []


async def test_what_changes_before_the_answer_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_else_acts(_question: str, *, yes: bool) -> None:
        with psycopg.connect(pair.consumer.database_url) as connection:
            connection.execute("DELETE FROM inbox_parked WHERE aggregate_id = 'a'")

    monkeypatch.setattr(parked_changes, "confirm", somebody_else_acts)
    said = await pair.at_consumer("parked", "redrive", QUEUE, status=1)
    assert "it was 2 events of 2 streams, now it is 1 event of 1 stream" in said.err
    assert "nothing was changed" in said.err
    due = "SELECT count(*) FROM inbox_parked WHERE next_attempt_at = '-infinity'"
    assert await pair.consumer.rows(due) == [(0,)]
    [row] = (await pair.at_consumer("history", "--json")).json
    assert row["outcome"] == "refused"


async def test_a_list_names_its_next_page(pair: Pair) -> None:
    said = await pair.at_consumer("parked", "list", "--limit", "3", "--json")
    assert len(said.json) == 3
    after = said.err.split()[-1]
    rest = await pair.at_consumer("parked", "list", "--after", after, "--json")
    assert [(e["stream"]["aggregate_id"], e["sequence"]) for e in rest.json] == [("b", 2)]
    said = await pair.at_consumer("parked", "list", "--after", "forged", status=2)
    assert "after is not what a page of this list has given" in said.err
