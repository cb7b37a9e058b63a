"""Which parked events an operator means: by reason, type, error, group, aggregate or stream.

Invariant: a list, a preview and the change after it choose by one condition, so a preview names
what the change moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from outbox.event import Stream


@dataclass(frozen=True, slots=True)
class ParkedSelection:
    """Parked events for which all that is given is true. Without anything given it is all."""

    reason: str | None = None
    types: Sequence[str] | None = None
    error: str | None = None
    """A part of the last error or of its cause, in any case."""
    group: str | None = None
    """A fingerprint, as `ParkedGroup` has it."""
    aggregate_id: str | None = None
    stream: Stream | None = None
    event_id: UUID | None = None
    until: datetime | None = None
    """Leave out what failed for the first time after this, or was parked after it."""

    @property
    def is_everything(self) -> bool:
        """Whether nothing is given that chooses."""
        return self == ParkedSelection(until=self.until)

    def parameters(self) -> dict[str, object]:
        """The parameters of `SELECTED`."""
        stream = self.stream
        return {
            **{f"s_{name}": value for name, value in asdict(self).items() if name != "stream"},
            "s_source": stream and stream.source,
            "s_aggregate_type": stream and stream.aggregate_type,
            "s_stream_id": stream and stream.aggregate_id,
        }


EVERYTHING = ParkedSelection()

GROUP = "coalesce(p.fingerprint, p.reason)"
"""What `ParkedSelection.group` names: an event that stops without a failure has no fingerprint."""

FIRST_FAILED = "coalesce(p.failed_at[1], p.parked_at)"

SELECTED = f"""
(%(s_reason)s::text IS NULL OR p.reason = %(s_reason)s)
AND (%(s_types)s::text[] IS NULL OR p.type = ANY(%(s_types)s))
AND (%(s_group)s::text IS NULL OR {GROUP} = %(s_group)s)
AND (%(s_error)s::text IS NULL
     OR strpos(lower(concat_ws(' ', p.cause, p.last_error)), lower(%(s_error)s)) > 0)
AND (%(s_aggregate_id)s::text IS NULL OR p.aggregate_id = %(s_aggregate_id)s)
AND (%(s_source)s::text IS NULL
     OR (p.source, p.aggregate_type, p.aggregate_id)
      = (%(s_source)s, %(s_aggregate_type)s, %(s_stream_id)s))
AND (%(s_event_id)s::uuid IS NULL OR p.event_id = %(s_event_id)s)
AND (%(s_until)s::timestamptz IS NULL OR {FIRST_FAILED} <= %(s_until)s)
"""
"""Condition on a row `p` of parked events."""
