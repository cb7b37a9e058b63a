"""What a text may name: an aggregate, an event, a request by its correlation id, or a trace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

Moment = tuple[datetime, datetime]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_TRACE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_LONGEST = 1_000
_AROUND = timedelta(seconds=10)
"""The clocks of an application and its database differ by less, or the event is found by other
ways."""


@dataclass(frozen=True, slots=True)
class Named:
    """What one text may name."""

    aggregates: Sequence[str] = ()
    events: Sequence[UUID] = ()
    correlations: Sequence[str] = ()
    traces: Sequence[str] = ()

    @classmethod
    def by(cls, text: str) -> Named:
        """Anything is allowed; a text that cannot be stored names nothing."""
        text = text.strip()
        if not text or len(text) > _LONGEST or not _can_be_stored(text):
            return cls()
        lower = text.lower()
        if found := _TRACEPARENT.fullmatch(lower):
            return cls(traces=[found[1]])
        id_, names = _uuid(text), [text]
        if id_:
            names.append(str(id_))
        if text.count("/") >= 2:  # a stream, as commands and log lines print it
            names.append(text.split("/", 2)[2])
        return cls(
            aggregates=list(dict.fromkeys(names)),
            events=[id_] if id_ else [],
            correlations=list(dict.fromkeys(names[:2])),
            traces=[lower] if _TRACE.fullmatch(lower) else [],
        )

    @property
    def moments(self) -> list[Moment]:
        """When it was written, if its id says so."""
        return merged(around(id_) for id_ in self.events)


def drawn(id_: UUID) -> datetime | None:
    """The time that a UUIDv7 carries (RFC 9562, section 5.7)."""
    if id_.version != 7:
        return None
    seconds = (id_.int >> 80) / 1000
    return datetime.fromtimestamp(seconds, UTC) if seconds < 2**37 else None


def around(id_: UUID) -> Moment | None:
    """The moment in which an event with this id was written."""
    time = drawn(id_)
    return (time - _AROUND, time + _AROUND) if time else None


def merged(moments: Iterable[Moment | None]) -> list[Moment]:
    """The same times as moments that do not overlap."""
    found: list[Moment] = []
    for since, until in sorted(moment for moment in moments if moment):
        if found and since <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], until))
        else:
            found.append((since, until))
    return found


def _can_be_stored(text: str) -> bool:
    """False with a NUL character, or with bytes of a command line that are no text."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
