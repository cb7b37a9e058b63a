"""`outbox tripped`: event types that wait because their dependency is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import typer

from outbox.cli.options import ConsumerName, DatabaseUrl, DryRun, Json, Yes
from outbox.cli.output import emit, say, warn
from outbox.cli.parked_options import EventTypes
from outbox.cli.running import FOUND, confirm, operate
from outbox.inbox.tripped_types import TrippedType
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
    tripped = operate(database_url, lambda operator: operator.tripped.list(consumer))
    chosen = [one.type for one in tripped if types is None or one.type in types]
    if not chosen:
        _nothing(consumer, tripped, as_json=as_json)
    preview = operate(
        database_url, lambda operator: operator.tripped.preview_reset(consumer, chosen)
    )
    names = ", ".join(chosen)
    waits = f"{counted(preview.streams, 'stream waits', 'streams wait')} for this."
    done: Sequence[str] = ()
    if not dry_run:
        confirm(f"Handle {names} again now? {waits}", yes=yes)
        done = operate(database_url, lambda operator: operator.tripped.reset(consumer, chosen))
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
