"""Commands that only look: status, lanes, partitions, explain."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import create_async_engine

from outbox.addresses import DatabaseAddress
from outbox.cli.console import emit, plain, say, table, warn
from outbox.cli.options import Application, BrokerUrl, DatabaseUrl, Json
from outbox.cli.running import FOUND, fail, run, topology_of
from outbox.cli.tables import show_lanes, show_status
from outbox.errors import OutboxError
from outbox.losses import broker_lost, one_line
from outbox.operations.database import open_database
from outbox.operations.days import DayPartition, day_partitions, days_covered
from outbox.operations.days import today as database_today
from outbox.operations.lanes import LaneMap, lane_map, set_lanes
from outbox.operations.status import Status, status
from outbox.operations.timeline import look_up
from outbox.operations.timeline_steps import Step, story
from outbox.plural import counted
from outbox.postgres.day_partitions import OUTBOX
from outbox.rabbitmq.queue_depths import QueueDepth, queue_depths


def show_all(
    *,
    database_url: DatabaseUrl,
    broker_url: BrokerUrl = None,
    app: Application = None,
    as_json: Json = False,
) -> None:
    """What waits to be published, applied and called, who relays, how full the queues are.

    With --app the queues are all that are subscribed to, also those that nobody ever consumed.
    """
    subscribed = topology_of(app).queues if app else ()
    found = run(_status(database_url))
    if found.outbox is None and found.inbox is None and found.jobs is None:
        fail("there is neither an outbox nor an inbox in this database; has it been migrated?")
    consumed = [known.consumer for known in found.inbox.consumers] if found.inbox else []
    queues = _depths(dict.fromkeys([*consumed, *subscribed]), broker_url)
    if as_json:
        emit({**plain(found), "queues": plain(queues)})
    else:
        show_status(found, queues)
    if found.needs_a_person:
        raise typer.Exit(FOUND)


async def _status(url: str) -> Status:
    async with open_database(url) as connection:
        return await status(connection)


def _depths(names: Iterable[str], broker_url: str | None) -> list[QueueDepth] | None:
    if broker_url is None:
        return None

    async def ask() -> list[QueueDepth] | None:
        try:
            return await queue_depths(broker_url, names)
        except Exception as problem:
            if not (isinstance(problem, OutboxError) or broker_lost(problem)):
                raise
            warn(f"the queues are not shown: {one_line(problem)}")
            return None

    return run(ask())


def lanes(
    *,
    database_url: DatabaseUrl,
    number: Annotated[
        int | None,
        typer.Option(
            "--set", min=1, max=1024, metavar="N", help="Have N lanes; running relays follow."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Who owns which lane, from PostgreSQL's locks and sessions."""

    async def ask() -> LaneMap:
        async with open_database(database_url) as connection:
            if number is not None and not await set_lanes(connection, number):
                fail("outbox_settings is empty: has this database been migrated?")
            return await lane_map(connection)

    found = run(ask())
    if as_json:
        emit({**plain(found), "unowned": found.unowned})
    else:
        show_lanes(found)
    if number is not None and not as_json:
        say(f"{counted(number, 'lane')} from now on: running relays come to them within seconds")
    if found.unowned and number is None:
        raise typer.Exit(FOUND)


def partitions(
    *,
    database_url: DatabaseUrl,
    ensure: Annotated[bool, typer.Option("--ensure", help="First make what is missing.")] = False,
    as_json: Json = False,
) -> None:
    """The log's days: sizes, what is not yet published, how far ahead there is room."""
    found, covered = run(_partitions(database_url, ensure))
    if as_json:
        emit({"days_covered": covered, "partitions": plain(found)})
    else:
        columns = ("partition", "bounds", "bytes", "events (estimate)", "unpublished", "parked")
        rows = ((p.name, p.bounds, p.bytes, p.events, p.waiting, p.parked) for p in found)
        table("partitions", columns, rows)
        say(f"room for {counted(covered, 'day')}, today included")
    if not covered:
        raise typer.Exit(FOUND)


async def _partitions(url: str, ensure: bool) -> tuple[list[DayPartition], int]:
    if ensure:
        engine = create_async_engine(DatabaseAddress.of(url).engine_url)
        try:
            await OUTBOX.ensure_ahead(engine)
        finally:
            await engine.dispose()
    async with open_database(url) as connection:
        found = await day_partitions(connection)
        return found, days_covered(found, await database_today(connection))


def explain(
    *,
    event_id: Annotated[UUID, typer.Argument(help="The event's id, as in logs and headers.")],
    database_url: DatabaseUrl,
    consumer_url: Annotated[
        list[str] | None,
        typer.Option(
            "--consumer-url",
            envvar="CONSUMER_DATABASE_URL",
            metavar="URL",
            help="Another database to ask; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """The life of one event: written, confirmed, delivered, applied, as far as is known."""
    steps = run(_steps(event_id, [database_url, *(consumer_url or [])]))
    if as_json:
        emit({"event_id": event_id, "steps": steps})
    elif steps:
        columns = ("step", "done", "at", "database", "detail")
        table(str(event_id), columns, ((s.step, s.done, s.at, s.where, s.detail) for s in steps))
    else:
        say(f"{event_id}: unknown here")
    if not steps:
        raise typer.Exit(FOUND)


async def _steps(event_id: UUID, urls: list[str]) -> list[Step]:
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(open_database(url)) for url in urls]
        seen = await look_up(connections, event_id)
    places = [DatabaseAddress.of(url).place for url in urls]
    return story(dict(zip(places, seen, strict=False)))
