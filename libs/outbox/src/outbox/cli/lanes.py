"""`outbox lanes`: which relay owns which lane, and how many lanes there are."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import DatabaseUrl, Json
from outbox.cli.output import emit, plain, say, table
from outbox.cli.running import FOUND, fail, run
from outbox.operations.database import open_database
from outbox.operations.lanes import LaneMap, lane_map, set_lanes
from outbox.plural import counted

Number = Annotated[
    int | None,
    typer.Option(
        "--set", min=1, max=1024, metavar="N", help="Have N lanes from now on; relays follow."
    ),
]


def lanes(*, database_url: DatabaseUrl, number: Number = None, as_json: Json = False) -> None:
    """Show which relay owns which lane, from PostgreSQL's locks and sessions."""
    found = run(_read(database_url, number))
    if as_json:
        emit({**plain(found), "unowned": found.unowned})
    else:
        _show(found)
    if number is not None and not as_json:
        say(f"{counted(number, 'lane')} from now on; running relays follow within seconds")
    if found.unowned and number is None:
        raise typer.Exit(FOUND)


async def _read(url: str, number: int | None) -> LaneMap:
    async with open_database(url) as connection:
        if number is not None and not await set_lanes(connection, number):
            fail("outbox_settings is empty: has this database been migrated?")
        return await lane_map(connection)


def _show(found: LaneMap) -> None:
    columns = ("pid", "relay", "address", "since", "of", "lanes")
    rows = (
        (r.pid, r.name, r.address, r.since, r.of, " ".join(map(str, r.lanes)) or "stands by")
        for r in found.relays
    )
    table(counted(found.total, "lane"), columns, rows)
    if found.unowned:
        say(f"without an owner: {' '.join(map(str, found.unowned))}")
