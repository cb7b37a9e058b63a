"""What failed can be understood: groups of causes, and changes of one group alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from kit.outbox.deliveries import effects, events, record, stream_of
from kit.outbox.world import QUEUE, World
from outbox import Envelope, InboxSettings, Retry, UnitOfWork
from outbox.inbox import operations
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations, ParkedQueries, ParkedSelection
from outbox.inbox.parked_events import FAILURES_KEPT
from outbox.inbox.parked_rows import ParkedGroup

NOW = "UPDATE inbox_parked SET next_attempt_at = clock_timestamp() WHERE reason = 'failed'"


def no_template(name: str) -> None:
    raise KeyError(f"template for {name}")


def no_price(name: str) -> None:
    raise ValueError(f"{name} has no price")


def no_stock(name: str) -> None:
    raise ValueError(f"{name} is not in stock")


class Kitchen:
    """A handler that fails for the aggregates of a letter, each letter in its own way."""

    def __init__(self, world: World) -> None:
        self.broken = {"t": no_template, "p": no_price, "s": no_stock}
        settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)})
        self.inbox = Inbox(QUEUE, {"order.happened": self.cook}, world.work, settings)

    async def cook(self, unit: UnitOfWork, event: Envelope) -> None:
        name = event.stream.aggregate_id
        if event.sequence == 1 and name[0] in self.broken:
            self.broken[name[0]](name)
        await record(unit, event)


@pytest.fixture
async def kitchen(world: World) -> Kitchen:
    """Two streams of 3 events fail with one cause, three with another, four with a third."""
    made = Kitchen(world)
    for letter, streams in (("t", 2), ("p", 3), ("s", 4)):
        for number in range(streams):
            await made.inbox.handle(events(3, f"{letter}{number}"))
    return made


async def groups(world: World, selection: ParkedSelection | None = None) -> list[ParkedGroup]:
    async with await world.psycopg() as connection:
        queries = ParkedQueries(connection, QUEUE)
        return await queries.groups(selection or ParkedSelection())


async def group_of(world: World, cause: str) -> ParkedGroup:
    [found] = await groups(world, ParkedSelection(error=cause))
    return found


async def test_each_cause_is_a_group_with_its_streams_and_followers(
    world: World, kitchen: Kitchen
) -> None:
    found = await groups(world)
    assert [(g.type, g.cause, g.streams, g.events, g.followers) for g in found] == [
        ("order.happened", f"ValueError in {__name__}.no_stock", 4, 4, 8),
        ("order.happened", f"ValueError in {__name__}.no_price", 3, 3, 6),
        ("order.happened", f"KeyError in {__name__}.no_template", 2, 2, 4),
    ]
    oldest = found[0]
    assert oldest.sample_error == "ValueError: s0 is not in stock"
    assert (oldest.sample_stream, oldest.sample_sequence) == ("shop/order/s0", 1)
    now = datetime.now(UTC)
    assert oldest.first_seen <= oldest.last_seen <= now + timedelta(seconds=5)
    assert oldest.next_attempt is not None
    assert oldest.next_attempt > now


async def test_a_cause_stays_a_group_while_its_events_are_postponed(
    world: World, kitchen: Kitchen
) -> None:
    before = await group_of(world, "no_template")
    await world.execute(
        "UPDATE inbox_parked SET reason = 'paused', next_attempt_at = NULL"
        " WHERE cause LIKE '%%no_template'"
    )
    found = await group_of(world, "no_template")
    assert (found.fingerprint, found.reason, found.streams) == (before.fingerprint, "paused", 2)


async def test_a_redriven_group_moves_its_streams_only(world: World, kitchen: Kitchen) -> None:
    chosen = ParkedSelection(group=(await group_of(world, "no_price")).fingerprint)
    del kitchen.broken["p"]
    async with await world.psycopg() as connection:
        inbox = InboxOperations(connection, QUEUE)
        preview = await inbox.preview_redrive(chosen)
        assert (preview.events, preview.streams, preview.followers) == (3, 3, 6)
        assert await inbox.redrive(chosen) == 3
    await kitchen.inbox.retry_due()
    assert await effects(world) == {f"p{n}": [1, 2, 3] for n in range(3)}
    assert [group.streams for group in await groups(world)] == [4, 2]
    assert {group.next_attempt is not None for group in await groups(world)} == {True}


async def test_a_redrive_that_stopped_half_way_is_finished_by_the_next(
    world: World, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "CHUNK", 2)
    kitchen.broken.clear()

    def killed(done: int) -> None:
        reported.append(done)
        if len(reported) == 2:
            raise KeyboardInterrupt

    reported: list[int] = []
    async with await world.psycopg() as connection:
        inbox = InboxOperations(connection, QUEUE)
        with pytest.raises(KeyboardInterrupt):
            await inbox.redrive(progress=killed)
        await kitchen.inbox.retry_due()
        assert reported == [2, 4]
        assert len(await effects(world)) == 4
        assert await inbox.redrive(progress=reported.append) == 5
    assert reported[2:] == [2, 4, 5]
    await kitchen.inbox.retry_due()
    names = [
        f"{letter}{n}" for letter, count in (("t", 2), ("p", 3), ("s", 4)) for n in range(count)
    ]
    assert await effects(world) == {name: [1, 2, 3] for name in names}


async def test_a_discarded_group_leaves_no_hole(
    world: World, kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "DISCARDED_TOGETHER", 3)
    chosen = ParkedSelection(group=(await group_of(world, "no_stock")).fingerprint)
    async with await world.psycopg() as connection:
        inbox = InboxOperations(connection, QUEUE)
        preview = await inbox.preview_discard(chosen)
        assert (preview.events, preview.streams, preview.followers) == (4, 4, 8)
        reported: list[int] = []
        discard = inbox.discard_selected(chosen, note="sold out", progress=reported.append)
        assert await discard == 4
    assert reported == [3, 4]
    await kitchen.inbox.retry_due()
    assert await effects(world) == {f"s{n}": [2, 3] for n in range(4)}
    kept = await world.rows("SELECT note, cause, cardinality(failed_at) FROM inbox_discarded")
    assert kept == [("sold out", f"ValueError in {__name__}.no_stock", 1)] * 4
    positions = await world.rows(
        "SELECT DISTINCT last_sequence, parked, blocked FROM inbox WHERE aggregate_id LIKE 's%%'"
    )
    assert positions == [(3, 0, False)]


async def test_what_fails_after_the_preview_is_not_discarded(
    world: World, kitchen: Kitchen
) -> None:
    chosen = ParkedSelection(error="no_stock")
    async with await world.psycopg() as connection:
        inbox = InboxOperations(connection, QUEUE)
        preview = await inbox.preview_discard(chosen)
        await kitchen.inbox.handle(events(1, "s9"))
        seen = ParkedSelection(error="no_stock", until=preview.at)
        assert await inbox.discard_selected(seen) == preview.events == 4
    [left] = await groups(world, chosen)
    assert left.sample_stream == "shop/order/s9"


async def test_events_behind_the_first_can_be_discarded_together(
    world: World, kitchen: Kitchen
) -> None:
    chosen = ParkedSelection(reason="behind", stream=stream_of("t1"))
    async with await world.psycopg() as connection:
        assert await InboxOperations(connection, QUEUE).discard_selected(chosen) == 2
    kitchen.broken.clear()
    await world.execute(NOW)
    await kitchen.inbox.retry_due()
    assert (await effects(world))["t1"] == [1]
    query = "SELECT last_sequence, parked FROM inbox WHERE aggregate_id = 't1'"
    await kitchen.inbox.handle(events(1, "t1", first=4))
    assert await world.rows(query) == [(4, 0)]


SELECTIONS = {
    "by a part of the message": (ParkedSelection(error="has no PRICE"), 3),
    "by the class": (ParkedSelection(error="keyerror"), 2),
    "by the function": (ParkedSelection(error="no_stock"), 4),
    "by type": (ParkedSelection(types=["order.happened"]), 9),
    "by another type": (ParkedSelection(types=["order.cancelled"]), 0),
    "by type and error": (ParkedSelection(types=["order.happened"], error="ValueError"), 7),
    "by aggregate": (ParkedSelection(aggregate_id="p1"), 1),
}


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
async def test_a_list_and_a_redrive_choose_alike(
    world: World, kitchen: Kitchen, selection: tuple[ParkedSelection, int]
) -> None:
    chosen, count = selection
    async with await world.psycopg() as connection:
        listed = await ParkedQueries(connection, QUEUE).find(chosen, limit=1_000)
        assert len([event for event in listed if event.sequence == 1]) == count
        assert await InboxOperations(connection, QUEUE).redrive(chosen) == count


async def test_the_first_failure_and_the_last_ones_are_kept(world: World) -> None:
    kitchen = Kitchen(world)
    await kitchen.inbox.handle(events(1, "t0"))
    [(first,)] = await world.rows("SELECT failed_at[1] FROM inbox_parked")
    kitchen.broken["t"] = no_price
    for _ in range(FAILURES_KEPT + 2):
        await world.execute(NOW)
        await kitchen.inbox.retry_due()
    async with await world.psycopg() as connection:
        [shown] = await InboxOperations(connection, QUEUE).show(stream_of("t0"))
    assert shown.attempts == FAILURES_KEPT + 3
    assert len(shown.failures) == FAILURES_KEPT
    assert shown.failures[0].at == first
    assert [one.error for one in shown.failures] == ["KeyError"] + ["ValueError"] * 19
    times = [one.at for one in shown.failures]
    assert times == sorted(times)


async def hangs(unit: UnitOfWork, event: Envelope) -> None:
    await asyncio.Event().wait()


async def test_a_handler_that_took_too_long_is_named_by_where_it_waited(world: World) -> None:
    inbox = Inbox(QUEUE, {"order.happened": hangs}, world.work, InboxSettings(time_limit=0.01))
    await inbox.handle(events(1, "a"))
    [found] = await groups(world)
    assert found.cause == f"outbox.errors.TimeLimitExceeded in {__name__}.hangs"


async def test_an_unhandled_and_a_forked_event_are_groups_too(world: World) -> None:
    settings = InboxSettings()
    inbox = Inbox(QUEUE, {"order.cancelled": record}, world.work, settings)
    await inbox.handle(events(2, "a"))
    await inbox.handle([*events(1, "b", first=5), *events(1, "b", first=5)])
    found = {group.reason: group for group in await groups(world)}
    assert found["unhandled"].cause == "unhandled"
    assert found["unhandled"].followers == 1
    assert (found["forked"].fingerprint, found["forked"].followers) == ("forked", 0)
