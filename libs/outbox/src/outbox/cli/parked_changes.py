"""`outbox parked redrive`, `discard` and `skip`: each says first what it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from outbox.cli.options import ConsumerName, DatabaseUrl, DryRun, Json, Yes
from outbox.cli.output import emit, say, warn
from outbox.cli.parked_options import (
    ErrorText,
    EventTypes,
    Group,
    OneInbox,
    OneStream,
    Reason,
    StreamArgument,
    selection_of,
    stream_of,
)
from outbox.cli.parked_tables import show_events
from outbox.cli.running import confirm, fail
from outbox.errors import NothingMissing
from outbox.event import Stream
from outbox.inbox.operations import ParkedSelection, Preview
from outbox.plural import counted

EventId = Annotated[str | None, typer.Option(help="Which event, if two have the same sequence.")]
Note = Annotated[str, typer.Option(help="Why; kept in inbox_discarded.")]
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
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Try the first parked event of each blocked stream now; the others follow in order.

    The options choose by that first event. A redrive that was interrupted can be run again.
    """
    inbox = OneInbox(database_url, consumer)
    chosen = selection_of(reason=reason, types=types, error=error, group=group, stream=stream)
    preview = inbox.run(lambda operations: operations.preview_redrive(chosen))
    tried, behind, streams = counted(preview.streams, "stream"), _behind(preview), 0
    does = preview.streams > 0 and not dry_run
    if does:
        confirm(f"Try the first event of {tried} now? {behind}", yes=yes)
        progress = _progress(preview.streams, "streams")
        streams = inbox.run(lambda operations: operations.redrive(chosen, progress=progress))
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
    inbox, how = OneInbox(database_url, consumer), Discarding(note, dry_run, yes, as_json)
    chosen = selection_of(reason=reason, types=types, error=error, group=group)
    if stream is not None and sequence is not None and chosen.is_everything:
        _discard_one(inbox, stream_of(stream), sequence, event_id, how)
    elif stream is not None or event_id is not None or chosen.is_everything:
        fail("say which: STREAM and SEQUENCE, or some of --reason, --type, --error, --group")
    else:
        _discard_selected(inbox, chosen, how)


@dataclass(frozen=True)
class Discarding:
    """How events are discarded, and how it is reported."""

    note: str
    dry_run: bool
    yes: bool
    as_json: bool


def _discard_one(
    inbox: OneInbox, stream: Stream, sequence: int, event_id: str | None, how: Discarding
) -> None:
    found = inbox.run(lambda operations: operations.show(stream, sequence))
    found = [event for event in found if event_id in (None, str(event.event_id))]
    if not found:
        fail(f"{inbox.consumer} has parked nothing at {sequence} of {stream}")
    if not how.as_json:
        show_events(found)
    if how.dry_run:
        if how.as_json:
            emit({"selected": found})
        return
    confirm(f"Discard {sequence} of {stream} for ever?", yes=how.yes)
    id_ = found[0].event_id if event_id else None
    gone = inbox.run(
        lambda operations: operations.discard(stream, sequence, event_id=id_, note=how.note)
    )
    if how.as_json:
        emit({"discarded": gone})
    else:
        say(f"{gone.event_id} is discarded; its body is kept in inbox_discarded")


def _discard_selected(inbox: OneInbox, chosen: ParkedSelection, how: Discarding) -> None:
    preview = inbox.run(lambda operations: operations.preview_discard(chosen))
    events, behind, gone = counted(preview.events, "event"), _behind(preview), 0
    does = preview.events > 0 and not how.dry_run
    if does:
        streams = counted(preview.streams, "stream")
        confirm(f"Discard {events} of {streams} for ever? {behind}", yes=how.yes)
        seen, progress = replace(chosen, until=preview.at), _progress(preview.events, "events")
        gone = inbox.run(
            lambda operations: operations.discard_selected(seen, note=how.note, progress=progress)
        )
    if how.as_json:
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
    inbox, chosen = OneInbox(database_url, consumer), stream_of(stream)
    at, waiting = inbox.run(lambda operations: operations.progress(chosen))
    # Decided before the question: while it waits, events may arrive and leave another gap.
    last = through or (waiting - 1 if waiting else at)
    if last <= at or not (waiting or tail):
        fail(str(NothingMissing(chosen, at + 1, last, waiting)))
    beyond = f"the first waiting event is {waiting}" if waiting else "no event waits"
    confirm(f"{chosen} is at {at}, {beyond}. Skip {at + 1} to {last}?", yes=yes)
    first, last = inbox.run(
        lambda operations: operations.skip(chosen, through=last, tail=tail, note=note)
    )
    if as_json:
        emit({"first": first, "last": last})
    else:
        say(f"{first} to {last} of {chosen} are skipped")


def _behind(preview: Preview) -> str:
    return f"{counted(preview.followers, 'event waits', 'events wait')} behind."


def _progress(total: int, what: str) -> Callable[[int], None]:
    def report(done: int) -> None:
        if done < total:
            warn(f"{done} of {total} {what}")

    return report
