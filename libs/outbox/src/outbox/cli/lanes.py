"""`outbox lanes`: which relay owns which lane, and how many lanes there are."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import DatabaseUrl, Json
from outbox.cli.output import emit, say, table
from outbox.cli.running import FOUND, operate
from outbox.operations import Operator
from outbox.operations.json_values import plain
from outbox.operations.lanes import LaneMap
from outbox.plural import counted

Number = Annotated[
    int | None,
    typer.Option(
        "--set", min=1, max=1024, metavar="N", help="Have N lanes from now on; relays follow."
    ),
]


def lanes(*, database_url: DatabaseUrl, number: Number = None, as_json: Json = False) -> None:
    """Show which relay owns which lane, from PostgreSQL's locks and sessions."""

    async def read(operator: Operator) -> LaneMap:
        if number is not None:
            await operator.set_lanes(number)
        return await operator.lanes()

    found = operate(database_url, read)
    if as_json:
        emit({**plain(found), "unowned": found.unowned})
    else:
        _show(found)
    if number is not None and not as_json:
        say(f"{counted(number, 'lane')} from now on; running relays follow within seconds")
    if found.unowned and number is None:
        raise typer.Exit(FOUND)


def _show(found: LaneMap) -> None:
    columns = ("pid", "relay", "address", "since", "of", "lanes")
    rows = (
        (r.pid, r.name, r.address, r.since, r.of, " ".join(map(str, r.lanes)) or "stands by")
        for r in found.relays
    )
    table(counted(found.total, "lane"), columns, rows)
    if found.unowned:
        say(f"without an owner: {' '.join(map(str, found.unowned))}")
