"""How parked events, their groups and what waits behind them are printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from outbox.cli.output import say, table
from outbox.inbox.operations import ParkedEvent, ParkedGroup, Preview
from outbox.plural import counted

_EVENTS = (
    "consumer",
    "stream",
    "sequence",
    "reason",
    "type",
    "attempts",
    "next attempt",
    "retried until",
    "parked",
    "last error",
)
_GROUPS = (
    "group",
    "consumer",
    "type",
    "cause",
    "streams",
    "events",
    "behind",
    "first seen",
    "last seen",
    "next attempt",
    "retried until",
    "for a person",
    "sample",
    "its error",
)


def show_events(found: Sequence[ParkedEvent]) -> None:
    """Print events without their bodies."""
    rows = (
        (
            event.consumer,
            event.stream,
            event.sequence,
            event.reason,
            event.type,
            event.attempts,
            event.next_attempt_at,
            event.retried_until,
            event.parked_at,
            (event.last_error or "").partition("\n")[0],
        )
        for event in found
    )
    table("parked", _EVENTS, rows)
    say(counted(len(found), "event"))


def show_groups(title: str, found: Iterable[ParkedGroup]) -> None:
    """Print a group in each row; print nothing if there are none."""
    rows = (
        (
            group.fingerprint,
            group.consumer,
            group.type,
            group.cause,
            group.streams,
            group.events,
            group.followers,
            group.first_seen,
            group.last_seen,
            group.next_attempt,
            group.retried_until,
            group.for_person,
            f"{group.sample} at {group.sample_sequence} of {group.sample_stream}",
            (group.sample_error or "").partition("\n")[0],
        )
        for group in found
    )
    table(title, _GROUPS, rows)


def waits_behind(preview: Preview) -> str:
    """How many events wait behind those that a change would move."""
    return f"{counted(preview.followers, 'event waits', 'events wait')} behind."
