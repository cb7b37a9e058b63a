"""`outbox partitions`: the outbox table's days, and how many days ahead there is room."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import DatabaseUrl, Json
from outbox.cli.output import emit, plain, say, table
from outbox.cli.running import FOUND, run
from outbox.operations.database import open_database
from outbox.operations.partitions import (
    DayPartition,
    day_partitions,
    days_covered,
    ensure_days,
    today,
)
from outbox.plural import counted

Ensure = Annotated[bool, typer.Option("--ensure", help="Create the missing days first.")]


def partitions(*, database_url: DatabaseUrl, ensure: Ensure = False, as_json: Json = False) -> None:
    """List the outbox table's days with their sizes and what is not yet published."""
    found, covered = run(_read(database_url, ensure))
    if as_json:
        emit({"days_covered": covered, "partitions": plain(found)})
    else:
        columns = ("partition", "bounds", "bytes", "events (estimate)", "unpublished", "parked")
        rows = ((p.name, p.bounds, p.bytes, p.events, p.unpublished, p.parked) for p in found)
        table("partitions", columns, rows)
        say(f"room for {counted(covered, 'day')}, today included")
    if not covered:
        raise typer.Exit(FOUND)


async def _read(url: str, ensure: bool) -> tuple[list[DayPartition], int]:
    if ensure:
        await ensure_days(url)
    async with open_database(url) as connection:
        found = await day_partitions(connection)
        return found, days_covered(found, await today(connection))
