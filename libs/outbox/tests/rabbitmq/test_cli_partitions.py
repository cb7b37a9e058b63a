"""`outbox partitions` against real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import Happened


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def test_partitions_lists_days_and_creates_missing_ones(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"))
    [newest] = await pair.producer.rows(
        "SELECT max(inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
    )
    await pair.producer.execute(f"DROP TABLE {newest[0]}")
    before = (await pair.say("partitions", "--json")).json
    assert sum(day["unpublished"] for day in before["partitions"]) == 1
    after = (await pair.say("partitions", "--ensure", "--json")).json
    assert after["days_covered"] == before["days_covered"] + 1


async def test_a_day_that_the_database_refuses_is_reported_as_its_error(pair: Pair) -> None:
    today = datetime.now(UTC).date()
    for days in range(5, 15):
        name = f"outbox_p{today + timedelta(days=days):%Y%m%d}"
        await pair.producer.execute(f"DROP TABLE {name}")
    await pair.producer.execute(
        "CREATE TABLE outbox_long PARTITION OF outbox"
        f" FOR VALUES FROM ('{today + timedelta(days=5)} 00:00+00') TO ('2200-01-01 00:00+00')"
    )
    said = await pair.say("partitions", "--ensure", status=2)
    assert "outbox: the database: " in said.err
    assert "outbox_long" in said.err
