"""`outbox tripped`: event types that wait because their dependency is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import typer

from outbox.cli.options import ConsumerName, DatabaseUrl, DryRun, Json, Yes
from outbox.cli.output import emit, say, warn
from outbox.cli.parked_options import EventTypes
from outbox.cli.running import FOUND, confirm, run
from outbox.inbox.operations import InboxOperations, ParkedSelection, Preview
from outbox.inbox.parked_rows import TRIPPED
from outbox.inbox.tripped_types import TrippedType, TrippedTypes
from outbox.operations.database import open_database
from outbox.plural import counted

app = typer.Typer(
    no_args_is_help=True, help="Event types that wait because their dependency is away."
)


@app.command()
def reset(
    *,
    database_url: DatabaseUrl,
    consumer: ConsumerName,
    types: EventTypes = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Handle tripped event types again now, instead of after the next probe that succeeds.

    What waits is tried at once, in order. If the dependency is still away, the types trip again.
    """
    tripped = run(_tripped(database_url, consumer))
    chosen = [one.type for one in tripped if types is None or one.type in types]
    if not chosen:
        _nothing(consumer, tripped, as_json=as_json)
    preview = run(_preview(database_url, consumer, chosen))
    names = ", ".join(chosen)
    waits = f"{counted(preview.streams, 'stream waits', 'streams wait')} for this."
    done: list[str] = []
    if not dry_run:
        confirm(f"Handle {names} again now? {waits}", yes=yes)
        done = run(_reset(database_url, consumer, chosen))
    if as_json:
        emit({"types": chosen, "selected": preview, "reset": done})
    elif dry_run:
        say(f"{names} to handle again. {waits}")
    else:
        say(f"{', '.join(done) or 'nothing'} is handled again within a second")


def _nothing(consumer: str, tripped: Sequence[TrippedType], *, as_json: bool) -> NoReturn:
    names = ", ".join(one.type for one in tripped)
    has = f"of {consumer} only {names} has tripped" if names else f"{consumer}: no type has tripped"
    if as_json:
        emit({"types": [], "selected": None, "reset": []})
    else:
        warn(has)
    raise typer.Exit(FOUND)


async def _tripped(url: str, consumer: str) -> Sequence[TrippedType]:
    async with open_database(url) as connection:
        return await TrippedTypes(connection, consumer).all()


async def _preview(url: str, consumer: str, types: Sequence[str]) -> Preview:
    async with open_database(url) as connection:
        selection = ParkedSelection(reason=TRIPPED, types=types)
        return await InboxOperations(connection, consumer).preview_redrive(selection)


async def _reset(url: str, consumer: str, types: Sequence[str]) -> list[str]:
    async with open_database(url) as connection:
        tripped = TrippedTypes(connection, consumer)
        return [one for one in types if await tripped.reset(one)]
