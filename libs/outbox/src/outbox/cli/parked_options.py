"""How the commands `outbox parked …` name parked events."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.running import fail
from outbox.event import Stream
from outbox.inbox.operations import ParkedSelection

StreamArgument = Annotated[
    str, typer.Argument(metavar="STREAM", help="SOURCE/AGGREGATE_TYPE/AGGREGATE_ID")
]
OneStream = Annotated[
    str | None, typer.Option("--stream", metavar="SOURCE/TYPE/ID", help="Only this stream.")
]
Reason = Annotated[
    str | None,
    typer.Option(
        help="gap, behind, forked, failed, crashed, unreadable, unhandled, paused, tripped"
        " or discarded."
    ),
]
EventTypes = Annotated[
    list[str] | None, typer.Option("--type", help="Only events of this type; repeatable.")
]
ErrorText = Annotated[
    str | None,
    typer.Option("--error", help="Only with this class or this text in the last error."),
]
Group = Annotated[
    str | None, typer.Option("--group", help="Only of this group, as `outbox parked groups` shows.")
]
EventId = Annotated[UUID | None, typer.Option(help="Which event, if two have the same sequence.")]
AggregateId = Annotated[
    str | None, typer.Option("--aggregate", metavar="ID", help="Only this aggregate.")
]


def selection_of(
    *,
    reason: str | None = None,
    types: list[str] | None = None,
    error: str | None = None,
    group: str | None = None,
    aggregate: str | None = None,
    stream: str | None = None,
) -> ParkedSelection:
    """The events that the options choose."""
    return ParkedSelection(
        reason=reason,
        types=types or None,
        error=error,
        group=group,
        aggregate_id=aggregate,
        stream=stream_of(stream) if stream else None,
    )


def stream_of(given: str) -> Stream:
    """A source and an aggregate type have no slash in practice; an id may have one."""
    parts = given.split("/", 2)
    if len(parts) != 3 or not all(parts):
        fail(f"{given!r}: a stream is SOURCE/AGGREGATE_TYPE/AGGREGATE_ID, as in shop/order/42")
    return Stream(*parts)
