"""What is next for the money of a rental, and what counts as the provider's answer."""

from __future__ import annotations

from itertools import product
from typing import Any
from uuid import UUID

import httpx
import pytest

from service_processor.domains.payments.policy import (
    Outcome,
    Payment,
    Step,
    amount_of,
    next_step,
)
from service_processor.domains.payments.provider import PATIENT, Provider
from servicekit.http.client import Unavailable

RENTAL = UUID(int=7)
DONE, DECLINED = Outcome.DONE, Outcome.DECLINED
ORDER = {"user_id": "user-1", "order_id": str(RENTAL), "amount": 300}


def payment(deposit: int = 300, **known: Any) -> Payment:
    return Payment(RENTAL, "user-1", deposit, **known)


@pytest.mark.parametrize(
    ("known", "step"),
    [
        ({}, Step.HOLD),
        ({"total": 69}, Step.HOLD),
        ({"hold": DECLINED}, None),
        ({"hold": DECLINED, "total": 69}, None),
        ({"hold": DONE}, None),
        ({"hold": DONE, "total": 69}, Step.CLEAR),
        ({"hold": DONE, "total": 0}, Step.CLEAR),
        ({"hold": DONE, "total": 69, "clear": DONE}, None),
        ({"hold": DONE, "total": 69, "clear": DECLINED}, Step.RELEASE),
        ({"hold": DONE, "total": 0, "clear": DONE}, Step.RELEASE),
        ({"hold": DONE, "total": 0, "clear": DONE, "release": DONE}, None),
        ({"hold": DONE, "total": 0, "clear": DONE, "release": DECLINED}, None),
        ({"deposit": 0, "hold": DONE, "total": 0, "clear": DONE}, None),
        ({"deposit": 0, "hold": DONE, "total": 69, "clear": DECLINED}, None),
    ],
)
def test_what_is_next_follows_from_what_is_known(known: dict[str, Any], step: Step | None) -> None:
    assert next_step(payment(**known)) is step


def test_no_step_is_taken_twice_whatever_comes_of_it() -> None:
    amounts, outcomes = product((0, 300), (0, 69)), product((DONE, DECLINED), repeat=3)
    for (deposit, total), decided in product(amounts, outcomes):
        known: dict[str, Any] = {"total": total}
        taken: list[Step] = []
        answers = iter(decided)
        while (step := next_step(payment(deposit, **known))) is not None:
            taken.append(step)
            known[step.value] = next(answers)
        assert len(taken) == len(set(taken))
        assert taken[0] is Step.HOLD


def test_amounts_are_the_deposit_and_the_total() -> None:
    known = payment(total=69)
    assert [amount_of(known, step) for step in Step] == [300, 69, 300]


def test_a_provider_that_is_down_is_waited_for_without_end() -> None:
    assert PATIENT.retry.attempts is None
    delay = PATIENT.retry.delay(10**6)
    assert delay is not None
    assert delay <= 30


def provider(answer: Any) -> Provider:
    async def respond(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer)

    transport = httpx.MockTransport(respond)
    return Provider(httpx.AsyncClient(transport=transport, base_url="http://theirs"))


GOOD = {"order_id": str(RENTAL), "amount": 300, "status": "held"}


async def test_held_and_declined_are_outcomes() -> None:
    held = provider(GOOD).move(Step.HOLD, ORDER, key="k")
    declined = provider({**GOOD, "status": "declined"}).move(Step.HOLD, ORDER, key="k")
    assert (await held, await declined) == (DONE, DECLINED)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"error": "internal error"},
        {**GOOD, "status": "cleared"},
        {**GOOD, "status": "maybe"},
        {**GOOD, "amount": 299},
        {**GOOD, "amount": "300"},
        {**GOOD, "amount": -300},
        {**GOOD, "order_id": str(UUID(int=8))},
        {"status": "held"},
    ],
)
async def test_any_other_answer_leaves_the_outcome_unknown(answer: dict[str, Any]) -> None:
    with pytest.raises(Unavailable):
        await provider(answer).move(Step.HOLD, ORDER, key="k")
