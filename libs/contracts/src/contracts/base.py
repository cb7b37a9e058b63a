"""What every event class has: a type, an aggregate, a version and a JSON body."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict


class Contract(BaseModel):
    """One event type. Unknown fields are ignored, so that a producer may add some."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: ClassVar[str]
    source: ClassVar[str]
    aggregate_type: ClassVar[str]
    version: ClassVar[int] = 1

    @property
    def aggregate_id(self) -> str:
        """The id of the aggregate whose stream the event belongs to."""
        raise NotImplementedError

    def payload(self) -> bytes:
        """The body as UTF-8 JSON."""
        return self.model_dump_json().encode()

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """Read a body. Raises `pydantic.ValidationError` for one that does not fit."""
        return cls.model_validate_json(payload)
