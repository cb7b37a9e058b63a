"""The bodies of requests, and what is shown in the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Query
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from outbox.event import Stream
from outbox.inbox.parked_rows import Preview
from outbox.inbox.parked_selection import ParkedSelection
from outbox.operations.json_values import plain

Limit = Annotated[int, Query(ge=1, le=1_000, description="How many at most.")]
After = Annotated[
    str | None, Query(max_length=4_096, description="`next` of the page before this one.")
]
Name = Annotated[str, Field(min_length=1, max_length=255, examples=["processor.orders"])]
Number = Annotated[int, Field(ge=0, le=2**63 - 2)]
Note = Annotated[str, Field(max_length=1_000, description="Why; kept in the record.")]


class Body(BaseModel):
    """What a request says. Unknown members are refused."""

    model_config = ConfigDict(extra="forbid")


class Seen(Body):
    """A preview as it was answered. The change is refused if it would move something else now."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "events": 2,
                    "streams": 2,
                    "followers": 5,
                    "at": "2026-11-26T19:00:00+00:00",
                    "digest": "9a2c5d1e",
                }
            ]
        },
    )

    events: int
    streams: int
    followers: int
    at: AwareDatetime
    digest: str = Field(max_length=10_000)

    @property
    def preview(self) -> Preview:
        """The same for an operator."""
        return Preview(self.events, self.streams, self.followers, self.at, self.digest)


class Changing(Body):
    """What every change takes."""

    seen: Seen | None = None
    note: Note = ""

    @property
    def preview(self) -> Preview | None:
        """What was seen, if it was given."""
        return self.seen.preview if self.seen else None


class StreamBody(Body):
    """A stream."""

    source: Name = Field(examples=["service-orders"])
    aggregate_type: Name = Field(examples=["order"])
    aggregate_id: Name = Field(examples=["42"])

    @property
    def stream(self) -> Stream:
        """The same for an operator."""
        return Stream(self.source, self.aggregate_type, self.aggregate_id)


class SelectionBody(Body):
    """Parked events for which all that is given is true."""

    reason: str | None = Field(default=None, examples=["failed"])
    types: list[str] | None = Field(default=None, examples=[["order.created"]])
    error: str | None = None
    group: str | None = Field(default=None, examples=["1f0c9a3e"])
    aggregate_id: str | None = None
    stream: StreamBody | None = None
    event_id: UUID | None = None

    @property
    def selection(self) -> ParkedSelection:
        """The same for an operator."""
        given = self.model_dump(exclude={"stream"})
        return ParkedSelection(**given, stream=self.stream.stream if self.stream else None)


def answer(value: object) -> JSONResponse:
    """A result as JSON. It is not validated again: it comes from the library."""
    return JSONResponse(plain(value))


def shown(example: object) -> dict[int | str, dict[str, Any]]:
    """`responses=` with an example of the answer."""
    return {200: {"content": {"application/json": {"example": plain(example)}}}}


PREVIEW = shown(Preview(2, 2, 5, datetime.fromisoformat("2026-11-26T19:00:00+00:00"), "9a2c5d1e"))
"""The answer to a preview."""
