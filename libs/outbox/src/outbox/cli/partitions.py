"""`outbox partitions`: the outbox table's days, and how many days ahead there is room."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import DatabaseUrl, Json
from outbox.cli.output import emit, say, table
from outbox.cli.running import FOUND, operate
from outbox.operations import Operator
from outbox.operations.json_values import plain
from outbox.operations.partitions import DayPartition, days_covered
from outbox.plural import counted

Ensure = Annotated[bool, typer.Option("--ensure", help="Create the missing days first.")]


def partitions(*, database_url: DatabaseUrl, ensure: Ensure = False, as_json: Json = False) -> None:
    """List the outbox table's days with their sizes and what is not yet published."""

    async def read(operator: Operator) -> tuple[list[DayPartition], int]:
        if ensure:
            await operator.ensure_days()
        found = await operator.partitions()
        return found, days_covered(found, await operator.today())

    found, covered = operate(database_url, read)
    if as_json:
        emit({"days_covered": covered, "partitions": plain(found)})
    else:
        columns = ("partition", "bounds", "bytes", "events (estimate)", "unpublished", "parked")
        rows = ((p.name, p.bounds, p.bytes, p.events, p.unpublished, p.parked) for p in found)
        table("partitions", columns, rows)
        say(f"room for {counted(covered, 'day')}, today included")
    if not covered:
        raise typer.Exit(FOUND)
