"""The registry after real events: what an operator would see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from prometheus_client import REGISTRY

from kit.outbox.deliveries import events, has_effects, parks, publish, record
from kit.outbox.world import EXCHANGE, QUEUE, Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, Maintenance, UnitOfWork
from outbox.jobs import Declined, Job, JobWorker, Result, enqueue
from outbox.postgres.day_partitions import OUTBOX
from outbox.relay.lanes import Lanes


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def counted_decisions(*names: str) -> list[float]:
    return [value("inbox_events_total", consumer=QUEUE, decision=name) for name in names]


async def test_publishes_are_counted_by_outcome_and_backed_off_aggregates_are_shown(
    world: World,
) -> None:
    acked, returned = (value("outbox_publishes_total", outcome=o) for o in ("acked", "returned"))
    windows = value("outbox_window_seconds_count")
    async with running(world.relay()):
        await world.emit(Happened("a"), Happened("b"))
        await eventually(lambda: world.has_unpublished(0))
        assert value("outbox_publishes_total", outcome="acked") == acked + 2
        assert value("outbox_window_seconds_count") > windows
        async with world.broker() as channel:
            await (await channel.get_queue(QUEUE, ensure=False)).unbind(EXCHANGE, "order.#")
            await world.emit(Happened("a"))
            await eventually(
                lambda: is_over("outbox_publishes_total", returned, outcome="returned")
            )
        await eventually(lambda: world.has_unpublished(0))


async def is_over(name: str, before: float, **labels: str) -> bool:
    return value(name, **labels) > before


async def test_backlog_and_age_are_right_after_a_start_and_without_what_is_parked(
    world: World,
) -> None:
    await world.emit(*(Happened(f"a{n}") for n in range(7)), Happened("b"))
    await world.execute("UPDATE outbox SET created_at = now() - interval '1 h'")
    await world.execute(
        "UPDATE outbox SET created_at = now() - interval '2 h', parked_at = now()"
        " WHERE aggregate_id = 'b'"
    )
    ours = {"exchange": EXCHANGE}
    async with await world.psycopg() as owner:
        # While somebody else has all lanes, nothing is published.
        theirs = Lanes(owner)
        await theirs.join()
        await theirs.has_surplus()
        assert await theirs.acquire_share()
        async with running(world.relay()):
            await eventually(lambda: has("outbox_backlog_events", 7, **ours), within=60)
            await eventually(lambda: has("outbox_backed_off_aggregates", 1, **ours), within=60)
            assert 3599 < value("outbox_oldest_unpublished_seconds", **ours) < 7199
    assert value("outbox_lanes_owned", **ours) == 0


async def has(name: str, wanted: float, **labels: str) -> bool:
    return value(name, **labels) == wanted


async def test_deliveries_are_counted_by_decision_and_parked_events_are_shown(world: World) -> None:
    broken = True

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        if broken and event.stream.aggregate_id == "bad":
            raise ZeroDivisionError
        await record(unit, event)

    names = ("apply", "duplicate", "gap", "failed", "behind")
    before, found, bad = counted_decisions(*names), events(3), events(2, "bad")
    handled = value("inbox_handler_seconds_count", consumer=QUEUE, type="order.happened")
    retried = value("inbox_retries_total", consumer=QUEUE, outcome="applied")
    lag = value("inbox_lag_seconds_count", consumer=QUEUE)
    async with running(world.consumer(handle)):
        await publish(world, found[0], found[0], found[2], *bad)
        await eventually(lambda: parks(world, [("gap", 3), ("failed", 1), ("behind", 2)]))
        await eventually(lambda: has("inbox_parked_events", 1, consumer=QUEUE, reason="gap"))
        counted = [now - then for now, then in zip(counted_decisions(*names), before, strict=True)]
        assert counted == [1, 1, 1, 1, 1]
        broken = False
        await publish(world, found[1])
        await eventually(lambda: has_effects(world, 5))
        await eventually(lambda: has("inbox_parked_events", 0, consumer=QUEUE, reason="failed"))
    assert value("inbox_handler_seconds_count", consumer=QUEUE, type="order.happened") > handled
    assert value("inbox_retries_total", consumer=QUEUE, outcome="applied") > retried
    assert value("inbox_lag_seconds_count", consumer=QUEUE) > lag


async def test_every_job_worker_shows_all_jobs_by_kind_and_state(world: World) -> None:
    async def pay(job: Job) -> Result:
        raise Declined("never")

    async with world.work.begin() as unit:
        await enqueue(unit, "pay", key="a", payload=1)
        await enqueue(unit, "mail", key="a", payload=1)
        later = datetime.now(UTC) + timedelta(hours=1)
        await enqueue(unit, "later", key="a", payload=1, at=later)
    await world.execute(
        "UPDATE outbox_jobs SET next_attempt_at = next_attempt_at - interval '1 h'"
        " WHERE kind = 'mail'"
    )
    async with running(JobWorker(world.work, {"pay": pay})):
        await eventually(lambda: has("outbox_jobs_now", 1, kind="pay", state="failed"))
        assert value("outbox_jobs_now", kind="mail", state="waiting") == 1
        assert 3599 < value("outbox_jobs_oldest_waiting_seconds", kind="mail") < 7199
        assert value("outbox_jobs_now", kind="later", state="waiting") == 1
        assert value("outbox_jobs_oldest_waiting_seconds", kind="later") == 0
        await world.execute("DELETE FROM outbox_jobs WHERE kind <> 'later'")
        await eventually(lambda: has("outbox_jobs_now", 0, kind="pay", state="failed"))
    assert value("outbox_jobs_oldest_waiting_seconds", kind="mail") == 0


async def test_days_ahead_are_shown(world: World) -> None:
    async with running(Maintenance(world.engine)):
        await eventually(lambda: has("partition_days_ahead", OUTBOX.ahead, table="outbox"))
