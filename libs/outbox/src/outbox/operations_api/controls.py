"""`/controls…` and `/tripped…`: what is paused, throttled, or waits for a dependency."""

from __future__ import annotations

from typing import Self

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import Field, model_validator

from outbox.operations.controls import LONGEST, OfQueue, OfRelay, Target
from outbox.operations_api.access import ChangingOperator, OrderingOperator, ReadingOperator
from outbox.operations_api.bodies import Body, Name, answer, shown

router = APIRouter(tags=["controls"])


class Controlled(Body):
    """A queue, one event type of a queue, or a relay by its exchange: one of queue and relay."""

    queue: str | None = Field(default=None, examples=["processor.orders"])
    relay: str | None = Field(default=None, examples=["orders"])
    type: str = Field(default="", examples=["order.created"])
    why: str = Field(default="", max_length=1_000)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.queue is None) == (self.relay is None):
            raise ValueError("give one of queue and relay")
        if self.relay is not None and self.type:
            raise ValueError("a relay publishes all types in order")
        return self

    @property
    def target(self) -> Target:
        """The same for an operator."""
        return OfRelay(self.relay) if self.relay else OfQueue(self.queue or "", self.type)


class Pause(Controlled):
    """What to pause, and for how long."""

    seconds: float | None = Field(
        default=None, gt=0, le=LONGEST, description="It ends by itself after so long."
    )


class Throttle(Pause):
    """What to throttle, and to what."""

    rate: float = Field(gt=0, allow_inf_nan=False, description="Events a second, in each process.")


class Tripped(Body):
    """Event types of a consumer that have tripped."""

    consumer: Name
    types: list[Name] = Field(min_length=1, max_length=100)


@router.get("/controls", responses=shown([{"target": "processor.orders", "rate": 0}]))
async def list_controls(operator: ReadingOperator) -> JSONResponse:
    """List what is paused or throttled."""
    return answer(await operator.controls.list())


@router.post("/controls/pause", responses=shown([]))
async def pause(operator: OrderingOperator, body: Pause) -> JSONResponse:
    """Stop a queue, an event type or a relay. The answer lists all controls."""
    await operator.controls.pause(body.target, why=body.why, seconds=body.seconds)
    return answer(await operator.controls.list())


@router.post("/controls/throttle", responses=shown([]))
async def throttle(operator: OrderingOperator, body: Throttle) -> JSONResponse:
    """Let at most so many events a second pass in each process. The answer lists all controls."""
    controls = operator.controls
    await controls.throttle(body.target, body.rate, why=body.why, seconds=body.seconds)
    return answer(await controls.list())


@router.post("/controls/resume", responses=shown({"resumed": True}))
async def resume(operator: OrderingOperator, body: Controlled) -> JSONResponse:
    """End a pause or a throttle."""
    return answer({"resumed": await operator.controls.resume(body.target, note=body.why)})


@router.get("/tripped", responses=shown([{"consumer": "processor.orders", "probes": 1}]))
async def list_tripped(operator: ReadingOperator, consumer: str | None = None) -> JSONResponse:
    """List event types that wait because their dependency is away."""
    return answer(await operator.tripped.list(consumer))


@router.post("/tripped/reset", responses=shown({"types": ["order.created"]}))
async def reset_tripped(operator: ChangingOperator, body: Tripped) -> JSONResponse:
    """Handle tripped event types again now. The answer lists those that had tripped."""
    return answer({"types": await operator.tripped.reset(body.consumer, body.types)})
