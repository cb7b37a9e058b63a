"""`outbox timeline`: the life of one event, from its commit to its effects."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Annotated
from uuid import UUID

import typer

from outbox.addresses import DatabaseAddress
from outbox.cli.options import DatabaseUrl, Json
from outbox.cli.output import emit, say, table
from outbox.cli.running import FOUND, run
from outbox.operations.database import open_database
from outbox.operations.timeline import Step
from outbox.operations.timeline import timeline as read_timeline

EventId = Annotated[UUID, typer.Argument(help="The event's id, as in logs and headers.")]
ConsumerUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--consumer-url",
        envvar="CONSUMER_DATABASE_URL",
        metavar="URL",
        help="Another database to ask; repeatable.",
    ),
]


def timeline(
    *,
    event_id: EventId,
    database_url: DatabaseUrl,
    consumer_url: ConsumerUrls = None,
    as_json: Json = False,
) -> None:
    """Show the life of one event: written, confirmed, delivered, applied, as far as is known."""
    steps = run(_read(event_id, [database_url, *(consumer_url or [])]))
    if as_json:
        emit({"event_id": event_id, "steps": steps})
    elif steps:
        columns = ("step", "done", "at", "database", "detail")
        table(str(event_id), columns, ((s.step, s.done, s.at, s.database, s.detail) for s in steps))
    else:
        say(f"{event_id}: unknown here")
    if not steps:
        raise typer.Exit(FOUND)


async def _read(event_id: UUID, urls: list[str]) -> list[Step]:
    async with AsyncExitStack() as stack:
        databases = {
            DatabaseAddress.of(url).name: await stack.enter_async_context(open_database(url))
            for url in urls
        }
        return await read_timeline(databases, event_id)
