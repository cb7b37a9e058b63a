"""What failed says where, and no values."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from pydantic import BaseModel
from sqlalchemy import text

from kit.outbox.deliveries import events, publish, record
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import Envelope, InboxSettings, Retry, RetryPolicy, UnitOfWork, jobs
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import InboxOperations, list_parked
from outbox.inbox.watchdog import Watchdog
from outbox.jobs import Job, JobSettings, JobWorker, Result
from outbox.tracebacks import MAX_TRACEBACK, said, traceback_of

NOW = "UPDATE inbox_parked SET next_attempt_at = clock_timestamp() WHERE reason = 'failed'"
SECRET = "s3cret"


class Order(BaseModel):
    email: str
    meals: list[int]


def raised(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as problem:
        return problem
    raise AssertionError("it did not raise")


EMPTY: dict[str, str] = {}


def lookup() -> None:
    EMPTY["template for poison"]


def several() -> None:
    raise ExceptionGroup("several", [raised(lookup), ValueError("second")])


def nested(depth: int) -> None:
    if depth:
        nested(depth - 1)
    lookup()


def chained() -> None:
    try:
        lookup()
    except KeyError as problem:
        raise ValueError("no template") from problem


async def bug(unit: UnitOfWork, event: Envelope) -> None:
    lookup()


async def refused(unit: UnitOfWork, event: Envelope) -> None:
    await unit.connection.execute(
        text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, :sequence)"),
        {"id": SECRET, "sequence": 2**70},
    )


async def reads(unit: UnitOfWork, event: Envelope) -> None:
    Order.model_validate_json(event.payload)


def inbox_of(world: World, handler: object) -> Inbox:
    settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)})
    return Inbox(QUEUE, {"order.happened": handler}, world.work, settings)  # type: ignore[dict-item]


async def kept(world: World) -> str:
    [(traceback,)] = await world.rows("SELECT last_traceback FROM inbox_parked")
    return str(traceback)


async def test_a_first_failure_logs_where_it_was_and_the_next_ones_a_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    inbox = inbox_of(world, bug)
    await inbox.handle(events(1))
    await world.execute(NOW)
    await inbox.retry_due()
    first, second = [said for said in caplog.messages if "as failed" in said]
    line = lookup.__code__.co_firstlineno + 1
    assert f'{__file__}:{line} in lookup\n    EMPTY["template' in first
    assert "KeyError: 'template for poison'" in first
    assert "\n" not in second
    assert "in lookup" in await kept(world)


async def test_a_traceback_has_no_parameters_of_statements(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await inbox_of(world, refused).handle(events(1))
    assert "in refused" in await kept(world)
    assert SECRET not in await kept(world) + caplog.text
    assert str(2**70) not in await kept(world) + caplog.text


SLIPS = {
    "a text for a number": "SELECT CAST(:value AS int)",
    "a text for a day": "SELECT CAST(:value AS date)",
    "a value in the statement's text": f"SELECT 1 {SECRET} {SECRET}",
}


@pytest.mark.parametrize("statement", SLIPS.values(), ids=SLIPS)
async def test_a_value_that_postgresql_quotes_is_masked(
    world: World, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    async def slips(unit: UnitOfWork, event: Envelope) -> None:
        value = {"value": f'a "{SECRET}"\n{SECRET}'} if ":value" in statement else {}
        await unit.connection.execute(text(statement), value)

    await inbox_of(world, slips).handle(events(1))
    [(error,)] = await world.rows("SELECT last_error FROM inbox_parked")
    assert '"…"' in str(error)
    assert SECRET not in f"{error}" + await kept(world) + caplog.text


async def test_a_traceback_begins_with_the_handler(world: World) -> None:
    await inbox_of(world, bug).handle(events(1))
    assert (await kept(world)).splitlines()[0].endswith(" in bug")


async def test_a_body_that_does_not_fit_names_its_fields_and_not_its_values(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    [event] = events(1)
    body = b'{"meals": [1, "%s"]}' % SECRET.encode()
    await inbox_of(world, reads).handle([replace(event, payload=body)])
    [(reason, error)] = await world.rows("SELECT reason, last_error FROM inbox_parked")
    assert reason == "unreadable"
    assert error == (
        "ValidationError: 2 in Order: email: Field required; meals.1: Input should be a valid"
        " integer, unable to parse string as an integer"
    )
    assert SECRET not in await kept(world) + caplog.text


async def test_a_discarded_event_keeps_its_traceback(world: World) -> None:
    [event] = events(1)
    await inbox_of(world, bug).handle([event])
    async with await world.psycopg() as connection:
        [shown] = await InboxOperations(connection, QUEUE).show(event.stream)
        assert "in lookup" in (shown.last_traceback or "")
        [listed] = await list_parked(connection, QUEUE)
        assert listed.last_traceback is None, "a list is short"
        await InboxOperations(connection, QUEUE).discard(event.stream, 1)
    [(traceback,)] = await world.rows("SELECT last_traceback FROM inbox_discarded")
    assert "in lookup" in str(traceback)


def test_a_group_says_what_its_members_say() -> None:
    problem = raised(several)
    assert said(problem) == (
        "ExceptionGroup: several (2 sub-exceptions): KeyError: 'template for poison';"
        " ValueError: second"
    )
    assert "in lookup" in traceback_of(problem)


def test_a_cause_comes_before_what_it_caused() -> None:
    told = traceback_of(raised(chained))
    assert told.index("in lookup") < told.index("KeyError") < told.index("ValueError: no template")


def test_however_deep_it_was_both_ends_are_told() -> None:
    told = traceback_of(raised(lambda: nested(500)))
    assert len(told) < MAX_TRACEBACK
    assert "in <lambda>" in told
    assert "… 490 frames" in told
    assert told.endswith(
        "in lookup\n    EMPTY[\"template for poison\"]\nKeyError: 'template for poison'"
    )


def test_however_many_causes_there_are_it_is_bounded_and_ends_with_the_last() -> None:
    problem: BaseException = ValueError("0")
    for number in range(1, 50):
        problem, cause = raised(lambda: nested(50)), problem
        problem.__cause__ = cause
        problem.args = (str(number),)
    told = traceback_of(problem)
    assert len(told) <= MAX_TRACEBACK
    assert told.startswith("…\n")
    assert told.endswith("KeyError: '49'")


def test_errors_that_cause_each_other_are_told_once() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert traceback_of(one) == "ValueError: other\nthen:\nValueError: one"


def test_a_line_stays_one_line_whatever_it_quotes() -> None:
    problem = ValueError("a\rb\x1b[31m\x00")
    assert said(problem) == "ValueError: a\\x0db\\x1b[31m\\x00"


async def test_a_job_that_fails_says_where(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def calls(job: Job) -> Result:
        lookup()
        raise AssertionError("unreachable")

    async with world.work.begin() as unit:
        await jobs.enqueue(unit, "call", key="1", payload={})
    worker = JobWorker(
        world.work, {"call": calls}, JobSettings(retry=RetryPolicy(base=0.001, ceiling=0.001))
    )

    async def failed_twice() -> bool:
        await worker.run_due()
        return len([line for line in caplog.messages if line.startswith("job call 1")]) >= 2

    await eventually(failed_twice)
    told = [line for line in caplog.messages if line.startswith("job call 1")]
    assert told[0].splitlines()[1].endswith(" in calls")
    assert "in lookup" in told[0]
    assert all("\n" not in line for line in told[1:])
    [(traceback,)] = await world.rows("SELECT last_traceback FROM outbox_jobs")
    assert "in lookup" in str(traceback)


async def test_a_job_says_whether_it_is_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async def calls(job: Job) -> Result:
        raise jobs.Declined("no such account") if job.key == "no" else ValueError("timed out")

    async with world.work.begin() as unit:
        await jobs.enqueue(unit, "call", key="no", payload={})
        await jobs.enqueue(unit, "call", key="once", payload={})
    slow = RetryPolicy(base=600, ceiling=600)
    await JobWorker(world.work, {"call": calls}, JobSettings(retry=slow)).run_due()
    told = [line.partition("\n")[0] for line in caplog.messages if line.startswith("job call")]
    assert told == [
        "job call no, attempt 1, gives up: Declined: no such account",
        "job call once, attempt 1, tries again: ValueError: timed out",
    ]


async def test_the_watchdog_says_where_all_threads_and_tasks_are(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    noticed = threading.Event()

    def blocks_here() -> None:
        assert noticed.wait(60)

    async def blocks(unit: UnitOfWork, event: Envelope) -> None:
        blocks_here()
        await record(unit, event)

    async def waits_here() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.create_task(waits_here(), name="the waiting one")
    watchdog = Watchdog(0.2, lambda _what: noticed.set())
    with caplog.at_level(logging.CRITICAL):
        async with running(world.consumer(blocks, watchdog=watchdog)):
            await publish(world, *events(1))
            await eventually(lambda: asyncio.sleep(0, noticed.is_set()))
    waiting.cancel()
    [told] = [said for said in caplog.messages if "hangs for" in said]
    assert "thread MainThread:" in told
    assert "in blocks_here\n    assert noticed.wait(60)" in told
    assert "task the waiting one:" in told
    assert "in waits_here\n    await asyncio.Event().wait()" in told
