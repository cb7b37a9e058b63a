"""The payment provider, and the jobs that call it.

A call whose outcome is unknown is repeated with the same key for ever: a provider that is down
delays a payment and does not fail it. A "declined" is an outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal
from uuid import UUID

import httpx
from pydantic import BaseModel, ConfigDict

from outbox import RetryPolicy, UnitOfWork
from outbox.jobs import Job, JobHandler, JobSettings, Result
from service_processor.domains.payments import service
from service_processor.domains.payments.policy import Outcome, Step
from servicekit.http.client import ExternalSystem, Unavailable
from servicekit.http.fields import Text, Whole

PATIENT = JobSettings(
    concurrency=8,
    lease=5.0,
    heartbeat=1.5,
    retry=RetryPolicy(attempts=None, base=0.5, ceiling=30.0),  # see decision 1306
)
"""Many concurrent calls, because some may hang. A short lease, so that the jobs of a dead worker go
to another one soon."""

_DONE: Mapping[Step, str] = {Step.HOLD: "held", Step.CLEAR: "cleared", Step.RELEASE: "released"}


class _Answer(BaseModel):
    """The valid answers of the provider. Any other answer leaves the outcome unknown."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    order_id: Annotated[str, Text(1, 255)]
    amount: Annotated[int, Whole(1)]
    status: Literal["held", "cleared", "released", "declined"]


class Provider:
    """Moves money. Each step has its own circuit breaker."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._systems = {step: ExternalSystem(f"payments {step}", http) for step in Step}

    async def move(self, step: Step, order: Mapping[str, object], *, key: str) -> Outcome:
        """Raises `Unavailable` when it is not known whether the money was moved."""
        system = self._systems[step]
        answer = await system.post(f"/{step}-money-for-order", _Answer, order, key=key)
        if (answer.order_id, answer.amount) != (order["order_id"], order["amount"]):
            raise Unavailable(system.name, "answered about another order")
        if answer.status == "declined":
            return Outcome.DECLINED
        if answer.status != _DONE[step]:
            raise Unavailable(system.name, f"says {answer.status}")
        return Outcome.DONE


def payment_jobs(provider: Provider) -> Mapping[str, JobHandler]:
    """Handlers of jobs by kind."""
    return {f"payment.{step}": _handler(provider, step) for step in Step}


def _handler(provider: Provider, step: Step) -> JobHandler:
    async def call(job: Job) -> Result:
        outcome = await provider.move(step, job.payload, key=job.key)

        async def record(unit: UnitOfWork) -> None:
            await service.ended(unit, UUID(job.payload["order_id"]), step, outcome)

        return record

    return call
