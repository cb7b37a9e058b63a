"""How a consumer asks for events that were lost on their way, and how it is answered.

Both services ask and answer, by the same events: the bodies are those of `outbox.resend_events`,
whose handlers read them. Each event has a stream of its own, so none waits for another.
"""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.base import SAMPLE_TIME, Contract, Name
from contracts.exchanges import EVERY_SERVICE, ORDERS, PROCESSOR

Sequence = Annotated[int, Field(ge=1)]


class StreamRanges(BaseModel):
    """Some events of one stream: sequences from … through …, in order."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    aggregate_type: Name
    aggregate_id: Name
    ranges: tuple[tuple[Sequence, Sequence], ...]


class BeaconsMissed(BaseModel):
    """Beacons of an aggregate type were lost: what was published since then is told again."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    aggregate_type: Name
    since: AwareDatetime


class _StreamEvent(Contract):
    model_config = ConfigDict(serialize_by_alias=True)

    source: ClassVar[str] = EVERY_SERVICE
    aggregate_type: ClassVar[str] = "stream"

    producer: Name = Field(alias="source")
    """The service whose events are missing."""
    consumer: Name
    """The queue that misses them."""
    streams: tuple[StreamRanges, ...]


class ResendRequested(_StreamEvent):
    """A consumer misses events of a producer, which publishes them again if it still has them."""

    type: ClassVar[str] = "stream.resend_requested"

    request_id: UUID
    beacons: tuple[BeaconsMissed, ...]

    @property
    def aggregate_id(self) -> str:
        return str(self.request_id)


class EventsUnavailable(_StreamEvent):
    """The producer does not have these events any more."""

    type: ClassVar[str] = "stream.events_unavailable"

    answer_id: UUID

    @property
    def aggregate_id(self) -> str:
        return str(self.answer_id)


ORDERS_STREAMS = PROCESSOR.to("orders.streams", "stream")
PROCESSOR_STREAMS = ORDERS.to("processor.streams", "stream")

_ORDER = "018f4e2a-6b1c-7d3e-8f00-0000000000aa"
SAMPLES = (
    ResendRequested(
        request_id=UUID("018f4e2a-6b1c-7d3e-8f00-0000000000b1"),
        source="service-orders",
        consumer="processor.orders",
        streams=(
            StreamRanges(aggregate_type="order", aggregate_id=_ORDER, ranges=((2, 4), (7, 7))),
        ),
        beacons=(BeaconsMissed(aggregate_type="order", since=SAMPLE_TIME),),
    ),
    EventsUnavailable(
        answer_id=UUID("018f4e2a-6b1c-7d3e-8f00-0000000000b2"),
        source="service-orders",
        consumer="processor.orders",
        streams=(StreamRanges(aggregate_type="order", aggregate_id=_ORDER, ranges=((2, 3),)),),
    ),
)
