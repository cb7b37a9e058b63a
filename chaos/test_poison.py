"""One poisoned event among many: its stream waits, all others flow, and it follows once mended.

`CHAOS_EVENTS` is the number of events. `make bench ARGS=poison` measures what it costs the others.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from chaos import commands
from chaos.checker import examine
from chaos.fleet import Fleet
from chaos.quiescence import settled
from chaos.scenario import EXITS, KITCHEN, RAISES, SHOP, WRITE, Environment, Event
from kit.waiting import eventually
from outbox import Outbox

EVENTS = int(os.environ.get("CHAOS_EVENTS") or 1000)
AGGREGATES = 50
MEND = "INSERT INTO mended (token) VALUES (%s)"


def write(environment: Environment, poison: dict[int, str]) -> list[str]:
    """Commit each event in a transaction; returns the tokens of the poisoned events."""
    log, tokens = Outbox(SHOP.name), []
    with environment.connect(SHOP) as connection:
        for n in range(EVENTS):
            event = Event("order", f"a{n % AGGREGATES}", n // AGGREGATES + 1, poison.get(n, ""))
            tokens += [event.token] if event.kind else []
            with connection.transaction():
                connection.execute(WRITE, event.row)
                log.add_sync(connection, event)
    return tokens


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("kind", "reason"), [(RAISES, "failed"), (EXITS, "crashed")])
async def test_poison_parks_its_own_stream_only_and_is_redriven_in_order(
    environment: Environment, fleet: Fleet, kind: str, reason: str
) -> None:
    fleet.add("relay", "shop", 2)
    fleet.add("consumer", "kitchen", 2)
    fleet.add("relay", "kitchen", 1)
    fleet.add("consumer", "shop", 1)
    position = EVENTS // 3
    [token] = await asyncio.to_thread(write, environment, {position: kind})
    kitchen, _ = await settled(environment)
    followers = len(range(position, EVENTS, AGGREGATES)) - 1
    assert kitchen.waiting == 1 + followers
    reasons = parked(environment)
    assert reasons.pop(reason) == 1
    # A follower that the other process received while the first event was retried is a gap.
    assert reasons.keys() <= {"behind", "gap"}
    assert sum(reasons.values()) == followers
    if kind == EXITS:
        assert fleet.ends["consumer 3"] >= 3

    with environment.connect(KITCHEN) as connection:
        connection.execute(MEND, [token])
    assert await commands.redrive(environment, KITCHEN) == 1
    await eventually(lambda: nothing_waits(environment))
    for report in await settled(environment):
        assert report.events == EVENTS


def parked(environment: Environment) -> dict[str, int]:
    with environment.connect(KITCHEN) as connection:
        rows = connection.execute("SELECT reason, count(*) FROM inbox_parked GROUP BY 1")
        return dict(rows.fetchall())  # type: ignore[arg-type]


async def nothing_waits(environment: Environment) -> bool:
    return not (await asyncio.to_thread(examine, environment, KITCHEN)).waiting
