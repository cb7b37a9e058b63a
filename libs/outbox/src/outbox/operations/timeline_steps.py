"""What is known of an event, told as steps: written, published, confirmed, delivered, applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from outbox.operations.timeline import Caused, Place, Seen, Waiting, Written


@dataclass(frozen=True, slots=True)
class Step:
    """`at` is None where the time is not known; `done` says whether it happened."""

    step: str
    done: bool
    at: datetime | None
    where: str
    detail: str


def story(seen: Mapping[str, Seen]) -> list[Step]:
    """The steps in the order of an event's life; `seen` is by the name of each database."""
    steps: list[Step] = []
    for name, look in seen.items():
        if look.awaited:
            detail = f"as {look.awaited.key!r}, not in the log yet"
            steps.append(
                Step("scheduled", done=False, at=look.awaited.due_at, where=name, detail=detail)
            )
    written = next((look.written for look in seen.values() if look.written), None)
    for name, look in seen.items():
        if look.written:
            steps += _of_log(name, look.written)
    for name, look in seen.items():
        steps += _of_inbox(name, look, written)
    return steps


def _of_log(name: str, event: Written) -> list[Step]:
    stream = f"{event.source}/{event.aggregate_type}/{event.aggregate_id}"
    steps = [
        Step("written", True, event.created_at, name, f"{event.type}, {stream} at {event.sequence}")
    ]
    if event.published_at:
        tries = f" after {event.attempts} failed attempts" if event.attempts else ""
        detail = f"published and confirmed by the broker{tries}"
        return [*steps, Step("confirmed", True, event.published_at, name, detail)]
    if event.parked_at:
        detail = f"parked, the broker refuses it: {event.last_error or 'unknown'}"
        return [*steps, Step("published", False, event.parked_at, name, detail)]
    detail = f"{event.attempts} failed attempts, the last: {event.last_error or 'none yet'}"
    return [*steps, Step("published", False, None, name, detail)]


def _of_inbox(name: str, look: Seen, written: Written | None) -> list[Step]:
    steps = [_parked(name, parked) for parked in look.parked]
    waiting = {parked.consumer for parked in look.parked}
    for place in look.places:
        if written and place.consumer not in waiting:
            steps.append(_placed(name, place, written, look.caused))
    if not look.places:
        steps += [_caused(name, caused) for caused in look.caused]
    return steps


def _parked(name: str, event: Waiting) -> Step:
    at = (
        f", next attempt {event.next_attempt_at:%Y-%m-%d %H:%M:%S%z}"
        if event.next_attempt_at
        else ""
    )
    error = f": {event.last_error}" if event.last_error else ""
    detail = (
        f"parked by {event.consumer} as {event.reason} after {event.attempts} attempts{at}{error}"
    )
    return Step("delivered", True, event.parked_at, name, detail)


def _placed(name: str, place: Place, event: Written, caused: list[Caused]) -> Step:
    where = f"{place.consumer} has come to {place.last_sequence}"
    if place.last_sequence < event.sequence:
        behind = ", blocked by an earlier event" if place.blocked else ""
        return Step("applied", False, None, name, f"not there yet: {where}{behind}")
    if place.last_sequence == event.sequence and place.last_event_id not in (event.event_id, None):
        detail = f"{place.consumer} applied another event at this place: {place.last_event_id}"
        return Step("applied", False, None, name, f"forked: {detail}")
    at = caused[0].created_at if caused else None
    effects = ", ".join(f"{effect.type} {effect.event_id}" for effect in caused)
    return Step("applied", True, at, name, f"{where}{f'; caused {effects}' if effects else ''}")


def _caused(name: str, event: Caused) -> Step:
    return Step("applied", True, event.created_at, name, f"caused {event.type} {event.event_id}")
