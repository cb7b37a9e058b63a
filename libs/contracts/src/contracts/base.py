"""The base of every event class: a type, an aggregate, a version and a JSON body.

Every text has a maximum length, and PostgreSQL can store it, because consumers store it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from contracts.exchanges import EVERY_SERVICE, EXCHANGES

_NO_NUL = r"^[^\x00]*$"
# A text of one line as the APIs accept it: without characters that move or hide other text.
_ONE_LINE = (
    r"^[^\x00-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f"
    r"\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]*$"
)
Name = Annotated[str, Field(max_length=255, pattern=_ONE_LINE)]
"""The name of a person, a product or a restaurant."""
Reason = Annotated[str, Field(max_length=1_000, pattern=_ONE_LINE)]
"""The reason of an outcome."""
Description = Annotated[str, Field(max_length=10_000, pattern=_NO_NUL)]

SAMPLE_TIME = datetime(2026, 1, 31, 12, tzinfo=UTC)
"""When everything in `SAMPLES` happens."""


class Delivered(Protocol):
    """An event as the broker delivers it."""

    @property
    def aggregate_id(self) -> str: ...
    @property
    def payload(self) -> bytes: ...


class Contract(BaseModel):
    """One event type. Unknown fields are ignored, so a producer may add fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    source: ClassVar[str]
    """The service that emits the event, or `EVERY_SERVICE`."""
    aggregate_type: ClassVar[str]
    version: ClassVar[int] = 1
    audit_only: ClassVar[bool] = False
    """Whether no subscription is for the event: only the audit consumes it."""

    @classmethod
    def sources(cls) -> tuple[str, ...]:
        """The services that emit the event."""
        every = tuple(exchange.source for exchange in EXCHANGES)
        return every if cls.source == EVERY_SERVICE else (cls.source,)

    @property
    def aggregate_id(self) -> str:
        """The id of the aggregate whose stream the event belongs to."""
        raise NotImplementedError

    def payload(self) -> bytes:
        """The body as UTF-8 JSON."""
        return self.__pydantic_serializer__.to_json(self)

    @classmethod
    def from_envelope(cls, delivered: Delivered, /) -> Self:
        """Read an event. Raises `pydantic.ValidationError` for a body that does not fit.

        A body about another aggregate than the one of its stream does not fit either: it would act
        on the other aggregate out of order.
        """
        return cls.parse(delivered.payload, subject=delivered.aggregate_id)

    @classmethod
    def parse(cls, payload: bytes, *, subject: str | None = None) -> Self:
        """Read a body alone. Raises `pydantic.ValidationError`."""
        return cls.model_validate_json(payload, context={"subject": subject})

    @model_validator(mode="after")
    def _is_about_its_subject(self, info: ValidationInfo) -> Self:
        context: dict[str, Any] = info.context or {}
        subject = context.get("subject")
        if subject is not None and subject != self.aggregate_id:
            raise ValueError("the body is about another aggregate than the event's subject")
        return self
