"""A failed event is retried until its deadline, parked at once, or given up with a note."""

from __future__ import annotations

from collections.abc import Mapping

from kit.outbox.deliveries import effects, events, record
from kit.outbox.world import QUEUE, World
from kit.waiting import eventually
from outbox import Discard, Envelope, Failures, Inbox, InboxSettings, Park, Retry, UnitOfWork
from outbox.inbox.handlers import HandleOne
from outbox.inbox.operations import InboxOperations
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import ParkedEvent

SLOWLY = Retry(base=600, ceiling=600, deadline=3600)
GONE = Discard("the customer is gone")


class Kitchen:
    """A handler that raises what it is told, by aggregate and sequence."""

    def __init__(self, world: World, failures: Failures, own: Failures | None = None) -> None:
        self.world = world
        self.problems: dict[tuple[str, int], Exception] = {}
        self.calls = 0
        handlers = {"order.happened": HandleOne(self.handle, failures=own or {})}
        self.inbox = Inbox(QUEUE, handlers, world.work, InboxSettings(failures=failures))

    async def handle(self, unit: UnitOfWork, event: Envelope) -> None:
        self.calls += 1
        problem = self.problems.get((event.stream.aggregate_id, event.sequence))
        if problem is not None:
            raise problem
        await record(unit, event)

    async def parked(self) -> list[ParkedEvent]:
        async with await self.world.psycopg() as connection:
            return await ParkedQueries(connection, QUEUE).find()

    async def retry_now(self) -> None:
        """Let what waits for its retry be due, and try it."""
        await self.world.execute(
            "UPDATE inbox_parked SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL"
        )
        await self.inbox.retry_due()


async def test_retries_end_at_the_deadline_and_a_redrive_begins_a_new_one(world: World) -> None:
    kitchen, [event] = Kitchen(world, {ValueError: SLOWLY}), events(1, "a")
    kitchen.problems["a", 1] = ValueError("broken")
    await kitchen.inbox.handle([event])
    [first] = await kitchen.parked()
    assert first.next_attempt_at is not None
    assert first.retried_until is not None
    await kitchen.retry_now()
    [second] = await kitchen.parked()
    assert (second.attempts, second.retried_until) == (2, first.retried_until)

    await world.execute("UPDATE inbox_parked SET failing_since = failing_since - interval '1 hour'")
    await kitchen.retry_now()
    [third] = await kitchen.parked()
    assert (third.attempts, third.next_attempt_at) == (3, None)
    assert await for_person(world) == 1

    async with await world.psycopg() as connection:
        assert await InboxOperations(connection, QUEUE).redrive() == 1
    await kitchen.inbox.retry_due()
    [again] = await kitchen.parked()
    assert again.attempts == 1
    assert again.next_attempt_at is not None
    assert again.retried_until is not None
    assert again.retried_until > first.retried_until
    assert await for_person(world) == 0


async def test_the_last_attempt_is_made_at_the_deadline(world: World) -> None:
    kitchen, [event] = Kitchen(world, {ValueError: Retry(base=60, deadline=0.2)}), events(1, "a")
    kitchen.problems["a", 1] = ValueError("broken")
    await kitchen.inbox.handle([event])
    [parked] = await kitchen.parked()
    assert parked.next_attempt_at == parked.retried_until

    async def is_over() -> bool:
        await kitchen.inbox.retry_due()
        return [one.next_attempt_at for one in await kitchen.parked()] == [None]

    await eventually(is_over)
    assert kitchen.calls == 3  # in its batch, alone, and at the deadline


async def test_the_deadline_is_that_of_the_last_error_counted_from_the_first(world: World) -> None:
    rules: Mapping[type[Exception], Retry] = {
        ValueError: SLOWLY,
        KeyError: Retry(base=600, ceiling=600, deadline=7200),
    }
    kitchen, [event] = Kitchen(world, rules), events(1, "a")
    kitchen.problems["a", 1] = ValueError("broken")
    await kitchen.inbox.handle([event])
    [first] = await kitchen.parked()
    kitchen.problems["a", 1] = KeyError("other")
    await kitchen.retry_now()
    [second] = await kitchen.parked()
    assert first.retried_until is not None
    assert second.retried_until is not None
    assert (second.retried_until - first.retried_until).total_seconds() == 3600


async def test_an_event_that_is_parked_at_once_waits_for_a_person(world: World) -> None:
    kitchen = Kitchen(world, {Exception: SLOWLY}, own={KeyError: Park()})
    kitchen.problems["a", 1] = KeyError("of this handler")
    kitchen.problems["b", 1] = ValueError("of any")
    await kitchen.inbox.handle([*events(1, "a"), *events(1, "b")])
    found = {one.stream.aggregate_id: one for one in await kitchen.parked()}
    assert (found["a"].reason, found["a"].next_attempt_at) == ("failed", None)
    assert found["b"].next_attempt_at is not None
    assert await for_person(world) == 1


async def test_a_discarded_event_has_no_effect_and_its_stream_goes_on(world: World) -> None:
    kitchen = Kitchen(world, {KeyError: GONE})
    kitchen.problems["a", 2] = KeyError("customer")
    await kitchen.inbox.handle([*events(3, "a"), *events(1, "b")])
    assert await effects(world) == {"a": [1, 3], "b": [1]}
    assert await world.rows("SELECT blocked, parked FROM inbox") == [(False, 0)] * 2
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]
    await kitchen.inbox.handle(events(3, "a"))
    assert await world.rows(
        "SELECT first_sequence, reason, note, attempts, last_error, body FROM inbox_discarded"
    ) == [(2, "failed", GONE.note, 1, "KeyError: 'customer'", b"{}")]


async def test_a_retry_may_discard_and_its_followers_take_effect_in_order(world: World) -> None:
    kitchen = Kitchen(world, {ValueError: SLOWLY, KeyError: GONE})
    kitchen.problems["a", 1] = ValueError("away")
    await kitchen.inbox.handle(events(4, "a"))
    assert len(await kitchen.parked()) == 4
    kitchen.problems["a", 1] = kitchen.problems["a", 3] = KeyError("customer")
    await kitchen.retry_now()
    assert await effects(world) == {"a": [2, 4]}
    assert await world.rows(
        "SELECT first_sequence, cardinality(failed_at) FROM inbox_discarded ORDER BY 1"
    ) == [(1, 2), (3, 1)]
    assert await kitchen.parked() == []


async def for_person(world: World) -> int:
    async with await world.psycopg() as connection:
        counts = await ParkedQueries(connection, QUEUE).counts()
    return sum(count.for_person for count in counts)
