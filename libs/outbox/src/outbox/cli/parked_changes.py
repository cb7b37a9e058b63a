"""`outbox parked redrive`, `discard` and `skip`: each says first what it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import typer

from outbox.cli.options import ConsumerName, DatabaseUrl, DryRun, Json, Note, Yes
from outbox.cli.output import emit, say, warn
from outbox.cli.parked_options import (
    ErrorText,
    EventId,
    EventTypes,
    Group,
    OneStream,
    Reason,
    StreamArgument,
    selection_of,
    stream_of,
)
from outbox.cli.parked_tables import show_events, waits_behind
from outbox.cli.running import confirm, fail, operate
from outbox.errors import NothingMissing
from outbox.event import Stream
from outbox.inbox.operations import ParkedSelection
from outbox.plural import counted

Through = Annotated[int | None, typer.Option(help="The last sequence to skip.")]
Tail = Annotated[bool, typer.Option("--tail", help="Skip although no event waits beyond.")]
OptionalStream = Annotated[
    str | None, typer.Argument(metavar="[STREAM]", help="SOURCE/AGGREGATE_TYPE/AGGREGATE_ID")
]
OptionalSequence = Annotated[
    int | None, typer.Argument(metavar="[SEQUENCE]", min=1, help="One event of that stream.")
]


def redrive(
    *,
    database_url: DatabaseUrl,
    consumer: ConsumerName,
    stream: OneStream = None,
    reason: Reason = None,
    types: EventTypes = None,
    error: ErrorText = None,
    group: Group = None,
    note: Note = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Try the first parked event of each blocked stream now; the others follow in order.

    The options choose by that first event. If they choose others once the question is answered,
    nothing is changed. A redrive that was interrupted can be run again.
    """
    chosen = selection_of(reason=reason, types=types, error=error, group=group, stream=stream)
    preview = operate(
        database_url, lambda operator: operator.parked.preview_redrive(consumer, chosen)
    )
    tried, behind, streams = counted(preview.streams, "stream"), waits_behind(preview), 0
    does = preview.streams > 0 and not dry_run
    if does:
        confirm(f"Try the first event of {tried} now? {behind}", yes=yes)
        progress, seen = _progress(preview.streams, "streams"), None if yes else preview
        streams = operate(
            database_url,
            lambda operator: operator.parked.redrive(
                consumer, chosen, seen=seen, note=note, progress=progress
            ),
        )
    if as_json:
        emit({"selected": preview, "streams": streams})
    elif does:
        say(counted(streams, "stream is tried now", "streams are tried now"))
    else:
        say(f"{tried} to try. {behind}")


def discard(
    *,
    consumer: ConsumerName,
    stream: OptionalStream = None,
    sequence: OptionalSequence = None,
    database_url: DatabaseUrl,
    reason: Reason = None,
    types: EventTypes = None,
    error: ErrorText = None,
    group: Group = None,
    event_id: EventId = None,
    note: Note = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Discard parked events: they never take effect, and their streams go on behind them.

    Either one event, by STREAM and SEQUENCE, or all that --reason, --type, --error and --group
    choose. Their bodies are kept in inbox_discarded.
    """
    how = Discarding(database_url, consumer, note, dry_run, yes, as_json)
    chosen = selection_of(reason=reason, types=types, error=error, group=group)
    if stream is not None and sequence is not None and chosen.is_everything:
        how.one(stream_of(stream), sequence, event_id)
    elif stream is not None or event_id is not None or chosen.is_everything:
        fail("say which: STREAM and SEQUENCE, or some of --reason, --type, --error, --group")
    else:
        how.selected(chosen)


@dataclass(frozen=True)
class Discarding:
    """How events of a consumer are discarded, and how it is reported."""

    database_url: str
    consumer: str
    note: str
    dry_run: bool
    yes: bool
    as_json: bool

    def one(self, stream: Stream, sequence: int, event_id: UUID | None) -> None:
        """Discard one event."""
        url, consumer = self.database_url, self.consumer
        page = operate(url, lambda operator: operator.parked.show(consumer, stream, sequence))
        found = [event for event in page.items if event_id in (None, event.event_id)]
        if not found:
            fail(f"{consumer} has parked nothing at {sequence} of {stream}")
        if not self.as_json:
            show_events(found)
        if self.dry_run:
            if self.as_json:
                emit({"selected": found})
            return
        confirm(f"Discard {sequence} of {stream} for ever?", yes=self.yes)
        gone = operate(
            url,
            lambda operator: operator.parked.discard_event(
                consumer, stream, sequence, event_id=event_id, note=self.note
            ),
        )
        if self.as_json:
            emit({"discarded": gone})
        else:
            say(f"{gone.event_id} is discarded; its body is kept in inbox_discarded")

    def selected(self, chosen: ParkedSelection) -> None:
        """Discard all that is chosen, as it was when the question was asked."""
        url, consumer, gone = self.database_url, self.consumer, 0
        preview = operate(url, lambda operator: operator.parked.preview_discard(consumer, chosen))
        events, behind = counted(preview.events, "event"), waits_behind(preview)
        does = preview.events > 0 and not self.dry_run
        if does:
            streams = counted(preview.streams, "stream")
            confirm(f"Discard {events} of {streams} for ever? {behind}", yes=self.yes)
            progress = _progress(preview.events, "events")
            gone = operate(
                url,
                lambda operator: operator.parked.discard(
                    consumer, chosen, seen=preview, note=self.note, progress=progress
                ),
            )
        if self.as_json:
            emit({"selected": preview, "events": gone})
        elif does:
            are = counted(gone, "event is discarded", "events are discarded")
            say(f"{are}; the bodies are kept in inbox_discarded")
        else:
            say(f"{events} to discard. {behind}")


def skip(
    *,
    consumer: ConsumerName,
    stream: StreamArgument,
    database_url: DatabaseUrl,
    through: Through = None,
    tail: Tail = False,
    note: Note = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Skip events that never arrived, so that those beyond the gap are applied.

    If no event waits beyond, it is not known what is missing: give --through and --tail then.
    """
    chosen = stream_of(stream)
    at, waiting = operate(database_url, lambda operator: operator.parked.progress(consumer, chosen))
    # Decided before the question: while it waits, events may arrive and leave another gap.
    last = through or (waiting - 1 if waiting else at)
    if last <= at or not (waiting or tail):
        fail(str(NothingMissing(chosen, at + 1, last, waiting)))
    beyond = f"the first waiting event is {waiting}" if waiting else "no event waits"
    confirm(f"{chosen} is at {at}, {beyond}. Skip {at + 1} to {last}?", yes=yes)
    first, last = operate(
        database_url,
        lambda operator: operator.parked.skip(consumer, chosen, through=last, tail=tail, note=note),
    )
    if as_json:
        emit({"first": first, "last": last})
    else:
        say(f"{first} to {last} of {chosen} are skipped")


def _progress(total: int, what: str) -> Callable[[int], None]:
    def report(done: int) -> None:
        if done < total:
            warn(f"{done} of {total} {what}")

    return report
