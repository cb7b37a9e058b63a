"""What can be done about parked events: redrive, discard, and edit one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Form, HTTPException, Query

from outbox.console.actions import Proposal, waits_behind
from outbox.console.bodies import why_no_body
from outbox.console.view import View
from outbox.event import Stream
from outbox.inbox.parked_rows import ParkedEvent, Preview
from outbox.inbox.parked_selection import ParkedSelection
from outbox.operations.operator import Operator
from outbox.plural import counted


@dataclass(frozen=True, slots=True)
class Parked:
    """Which parked events of a consumer: a group, a stream, or one event of a stream."""

    consumer: str
    type: str | None = None
    group: str | None = None
    stream: Stream | None = None
    sequence: int | None = None
    event: UUID | None = None

    @classmethod
    def of(
        cls,
        *,
        consumer: str,
        type: str | None = None,
        group: str | None = None,
        source: str | None = None,
        aggregate_type: str | None = None,
        aggregate_id: str | None = None,
        sequence: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
        event: UUID | None = None,
    ) -> Parked:
        """From a query. Raises 422 for one that names nothing, which would be everything."""
        if not (group or event or (source and aggregate_type and aggregate_id)):
            raise HTTPException(422, "Say which: a group, a stream or an event.")
        stream = None
        if source and aggregate_type and aggregate_id:
            stream = Stream(source, aggregate_type, aggregate_id)
        return cls(consumer, type or None, group or None, stream, sequence, event)

    @property
    def selection(self) -> ParkedSelection:
        """The same for the operations."""
        return ParkedSelection(
            types=[self.type] if self.type else None,
            group=self.group,
            stream=self.stream,
            event_id=self.event,
        )

    @property
    def query(self) -> dict[str, object]:
        """The query that `of` understands."""
        stream = self.stream
        named = {
            "consumer": self.consumer,
            "type": self.type,
            "group": self.group,
            "source": stream and stream.source,
            "aggregate_type": stream and stream.aggregate_type,
            "aggregate_id": stream and stream.aggregate_id,
            "sequence": self.sequence,
            "event": self.event,
        }
        return {name: value for name, value in named.items() if value is not None}

    async def find(self, operator: Operator) -> ParkedEvent | None:
        """The event with its body, if it is still parked."""
        if self.stream is None:
            return None
        found = await operator.parked.show(self.consumer, self.stream, self.sequence)
        return next((one for one in found.items if self.event in (None, one.event_id)), None)

    def address(self, view: View, service: str) -> str:
        """The page of the group; that of all failures where it is about one event or stream."""
        if self.group:
            return view.path_for("group", self.query, service=service)
        return view.path_for("failures", {"service": service, "consumer": self.consumer})

    def __str__(self) -> str:
        if self.event:
            return f"event {self.event}"
        if self.group:
            return f"group {self.group}" + (f" of {self.type}" if self.type else "")
        return f"stream {self.stream}"


Which = Annotated[Parked, Depends(Parked.of)]


@dataclass(frozen=True, slots=True)
class Redrive:
    """Try the first events of the chosen streams now."""

    chosen: Parked
    limit: int | None

    @classmethod
    def of(
        cls,
        chosen: Which,
        limit: Annotated[int | None, Query(ge=1, le=10_000)] = None,
    ) -> Redrive:
        """From a query."""
        return cls(chosen, limit)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        preview, chosen = operator.parked.preview_redrive, self.chosen
        seen = await preview(chosen.consumer, chosen.selection, limit=self.limit)
        streams = counted(seen.streams, "stream")
        says = (
            f"The first event of {streams} at {chosen.consumer} is tried at once ({chosen}).",
            waits_behind(seen) + " They are applied in order once the first one is.",
            "If it fails again, it is retried as if it were new, and its followers wait on.",
        )
        button = f"Redrive {streams}" if seen.streams else ""
        return Proposal(f"Redrive {chosen}", says, button, seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        chosen = self.chosen
        count = await operator.parked.redrive(
            chosen.consumer, chosen.selection, seen=seen, limit=self.limit, note=note
        )
        return f"{counted(count, 'stream is', 'streams are')} tried now: {chosen}."

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return self.chosen.address(view, service)


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up the chosen events, so that their streams go on."""

    chosen: Parked

    @classmethod
    def of(cls, chosen: Which) -> Discard:
        """From a query."""
        return cls(chosen)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        chosen = self.chosen
        seen = await operator.parked.preview_discard(chosen.consumer, chosen.selection)
        events = counted(seen.events, "event")
        says = (
            f"{events} of {counted(seen.streams, 'stream')} at {chosen.consumer} never"
            f" {'takes' if seen.events == 1 else 'take'} effect ({chosen}).",
            waits_behind(seen) + " They are applied in order afterwards.",
            "Their bodies are kept in inbox_discarded.",
        )
        button = f"Discard {events} for ever" if seen.events else ""
        return Proposal(f"Discard {chosen}", says, button, seen, is_final=True)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        chosen = self.chosen
        count = await operator.parked.discard(
            chosen.consumer, chosen.selection, seen=seen, note=note
        )
        return f"{counted(count, 'event is', 'events are')} discarded: {chosen}."

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return self.chosen.address(view, service)


@dataclass(frozen=True, slots=True)
class Edit:
    """Give one event another body and try it."""

    chosen: Parked
    where: tuple[Stream, int, UUID]
    body: str

    @classmethod
    def of(cls, chosen: Which, body: Annotated[str, Form()]) -> Edit:
        """From a query and the form's body. Browsers send line ends as CRLF (HTML, 4.10.21.3)."""
        if chosen.stream is None or chosen.sequence is None or chosen.event is None:
            raise HTTPException(422, "Say which event.")
        where = (chosen.stream, chosen.sequence, chosen.event)
        return cls(chosen, where, body.replace("\r\n", "\n"))

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        chosen = self.chosen
        seen = await operator.parked.preview_edit(chosen.consumer, *self.where)
        wrong = why_no_body(self.body)
        says = (
            f"Event {chosen.event} at {chosen.sequence} of {chosen.stream} gets the new body of"
            f" {counted(len(self.body.encode()), 'byte')}, and is tried at once.",
            waits_behind(seen),
            f"No event can have the new body: {wrong}" if wrong else "The original is kept.",
        )
        button = "" if wrong else "Change the body and redrive"
        return Proposal("Edit one event", says, button, seen, fields=(("body", self.body),))

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        chosen = self.chosen
        body = self.body.encode()
        await operator.parked.edit(chosen.consumer, *self.where, body, seen=seen, note=note)
        return f"{chosen} has another body and is tried now; the original is kept."

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        query = {"service": service, "consumer": self.chosen.consumer}
        return view.path_for("failures", query)
