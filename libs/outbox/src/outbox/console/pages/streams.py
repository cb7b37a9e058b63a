"""Streams: one aggregate at its producer and at each consumer; skip a gap, set a baseline."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import HTMLResponse

from outbox.console.actions import Proposal, register_action, waits_behind
from outbox.console.page import Page
from outbox.console.pages.failures import stream_query
from outbox.console.view import CurrentView, View
from outbox.event import Stream
from outbox.inbox.parked_rows import Preview
from outbox.operations.operator import Operator
from outbox.operations.operator.streams import StreamView
from outbox.plural import counted

EVENTS = 50
Sequence = Annotated[int, Query(ge=0, lt=2**63)]

router = APIRouter()
PAGE = Page("Streams", "streams", router)


def _stream_of(source: str = "", aggregate_type: str = "", aggregate_id: str = "") -> Stream | None:
    known = source and aggregate_type and aggregate_id
    return Stream(source, aggregate_type, aggregate_id) if known else None


def _one_stream(source: str, aggregate_type: str, aggregate_id: str) -> Stream:
    return Stream(source, aggregate_type, aggregate_id)


@router.get("/streams", name="streams")
async def streams(
    view: CurrentView,
    stream: Annotated[Stream | None, Depends(_stream_of)],
    aggregate_id: str = "",
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
) -> HTMLResponse:
    found = list[Stream]()
    if stream is None and aggregate_id:
        found = await _find(view, aggregate_id.strip())
        stream = found[0] if len(found) == 1 else None
    shown = await _show(view, stream, before) if stream else {}
    return view.render(
        "streams.html",
        aggregate_id=aggregate_id,
        found=found,
        stream=stream,
        shown=shown,
        stream_query=stream_query,
    )


async def _find(view: View, aggregate_id: str) -> list[Stream]:
    async def ask(service: str) -> list[Stream]:
        async with view.operator(service) as operator:
            return await operator.streams.find(aggregate_id)

    found = await asyncio.gather(*(ask(name) for name in view.services))
    return sorted({stream for streams in found for stream in streams}, key=str)


async def _show(view: View, stream: Stream, before: int | None) -> dict[str, StreamView]:
    async def ask(service: str) -> StreamView:
        async with view.operator(service) as operator:
            return await operator.streams.show(stream, limit=EVENTS, before=before)

    shown = await asyncio.gather(*(ask(name) for name in view.services))
    return dict(zip(view.services, shown, strict=True))


Which = Annotated[Stream, Depends(_one_stream)]


@dataclass(frozen=True, slots=True)
class _OfStream:
    consumer: str
    stream: Stream

    def back(self, view: View, service: str) -> str:  # noqa: ARG002 the same in all services
        """See `Action`."""
        return view.path_for("streams", stream_query(self.stream))


@dataclass(frozen=True, slots=True)
class Skip(_OfStream):
    """Do without events that never arrived."""

    through: int | None

    @classmethod
    def of(
        cls, consumer: str, stream: Which, through: Annotated[int | None, Query(ge=1)] = None
    ) -> Skip:
        """From a query."""
        return cls(consumer, stream, through)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.parked.preview_skip(self.consumer, self.stream, through=self.through)
        says = (
            f"{self.consumer} does without {counted(seen.events, 'event')} of {self.stream}:"
            f" {seen.digest.replace('-', ' to ')}. If one arrives later, it has no effect.",
            waits_behind(seen) + " They are applied then.",
            "First see on the page Health whether its producer still has them: a replay brings"
            " them with their effect.",
        )
        return Proposal("Skip a gap", says, "Skip them for ever", seen, is_final=True)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        first, last = await operator.parked.skip(
            self.consumer, self.stream, through=self.through, seen=seen, note=note
        )
        return f"{first} to {last} of {self.stream} are skipped."


@dataclass(frozen=True, slots=True)
class Baseline(_OfStream):
    """Let a consumer go on after a sequence, whatever it has applied."""

    sequence: int

    @classmethod
    def of(cls, consumer: str, stream: Which, sequence: Sequence) -> Baseline:
        """From a query."""
        return cls(consumer, stream, sequence)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.streams.preview_baseline(self.consumer, self.stream, self.sequence)
        at, _ = await operator.parked.progress(self.consumer, self.stream)
        what = "never take effect" if self.sequence >= at else "take effect once more if they come"
        says = (
            f"{self.consumer} goes on after {self.sequence} of {self.stream}; now it is at {at}.",
            f"{counted(seen.events, 'sequence')} between the two {what}.",
            f"{counted(seen.followers, 'parked event')} of the stream: those up to the baseline are"
            " removed, those beyond it are applied.",
        )
        return Proposal("Set a baseline", says, "Set the baseline", seen, is_final=True)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await operator.streams.baseline(
            self.consumer, self.stream, self.sequence, seen=seen, note=note
        )
        return f"{self.consumer} goes on after {self.sequence} of {self.stream}."


register_action(router, "/streams/{service}/skip", "skip", Skip.of)
register_action(router, "/streams/{service}/baseline", "baseline", Baseline.of)
