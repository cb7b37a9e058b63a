"""`outbox parked edit`: give a parked event another body, and have it tried now."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.options import ConsumerName, DatabaseUrl, Json, Note, Yes
from outbox.cli.output import clean, emit, say
from outbox.cli.parked_options import EventId, StreamArgument, stream_of
from outbox.cli.parked_tables import show_events, waits_behind
from outbox.cli.running import confirm, fail, operate
from outbox.errors import NotParked
from outbox.event import Stream
from outbox.inbox.operations import ParkedEvent, Preview
from outbox.operations import Operator

Sequence = Annotated[int, typer.Argument(metavar="SEQUENCE", min=1, help="The event's sequence.")]
BodyFile = Annotated[
    str, typer.Option("--body", metavar="FILE", help="The new body, JSON; - reads it from stdin.")
]


def edit(
    *,
    consumer: ConsumerName,
    stream: StreamArgument,
    sequence: Sequence,
    body: BodyFile,
    database_url: DatabaseUrl,
    event_id: EventId = None,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Give a parked event another body and try it now; its followers go on in order after it.

    The event as it was is kept in inbox_discarded. With a body from stdin there is nobody to ask:
    give --yes.
    """
    new = _read(body, yes=yes)
    one = OneEvent(consumer, stream_of(stream), sequence, event_id)
    event, seen = operate(database_url, one.preview)
    if not as_json:
        show_events([event])
        say(f"  body: {_text(event.body or b'')}", f"  new body: {_text(new)}")
    confirm(f"Give it the new body and try it now? {waits_behind(seen)}", yes=yes)
    was = operate(
        database_url,
        lambda operator: operator.parked.edit(
            consumer,
            one.stream,
            sequence,
            event.event_id,
            new,
            seen=None if yes else seen,
            note=note,
        ),
    )
    if as_json:
        emit({"was": was})
    else:
        say(f"{was.event_id} has the new body and is tried now; the first is in inbox_discarded")


@dataclass(frozen=True)
class OneEvent:
    """Which parked event is edited."""

    consumer: str
    stream: Stream
    sequence: int
    event_id: UUID | None

    async def preview(self, operator: Operator) -> tuple[ParkedEvent, Preview]:
        """The event, and what its edit is compared with; raises `NotParked`.

        The event is read again after the preview, so that what is shown is no older than that.
        """
        id_ = self.event_id or (await self._only(operator, None)).event_id
        seen = await operator.parked.preview_edit(self.consumer, self.stream, self.sequence, id_)
        return await self._only(operator, id_), seen

    async def _only(self, operator: Operator, id_: UUID | None) -> ParkedEvent:
        page = await operator.parked.show(self.consumer, self.stream, self.sequence)
        found = [event for event in page.items if id_ in (None, event.event_id)]
        if len(found) != 1:
            raise NotParked(self.stream, [event.event_id for event in found])
        return found[0]


def _read(file: str, *, yes: bool) -> bytes:
    if file == "-" and not yes:
        fail("the body comes from stdin, so the question cannot be answered: give --yes")
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as problem:
        fail(f"--body {file}: {problem.strerror}")


def _text(body: bytes) -> str:
    return clean(body.decode("utf-8", "backslashreplace"))
