"""A rental through both services: whatever the provider says, and in whatever order it is heard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import permutations
from uuid import UUID

import pytest

from kit.services.rental_saga import Saga, saga
from service_orders.domains.rentals.errors import RentalNotActive, ScooterInUse
from service_orders.domains.rentals.models import Rental
from service_orders.domains.rentals.states import LIFECYCLE, PaymentStatus, RentalStatus

HELD, CLEARED = ("hold", 300, "held"), ("clear", 69, "cleared")
RELEASED = ("release", 300, "released")


@pytest.fixture
async def ride() -> AsyncIterator[Saga]:
    async with saga() as one:
        yield one


async def ridden(ride: Saga, rental_id: UUID, seconds: int = 60) -> Rental:
    """Held, ridden for so long, finished, and all that follows."""
    await ride.run_to_rest()
    await ride.age(rental_id, seconds)
    await ride.finish(rental_id)
    await ride.run_to_rest()
    return await ride.rental(rental_id)


async def test_a_ride_is_held_ridden_and_cleared(ride: Saga) -> None:
    rental_id = await ride.start()
    assert (await ride.rental(rental_id)).status is RentalStatus.STARTING
    ended = await ridden(ride, rental_id)
    assert (ended.status, ended.payment_status) == (RentalStatus.FINISHED, PaymentStatus.CLEARED)
    assert ended.total_amount == 60 * 24 // 60 + 45
    assert ride.external.ledger(str(rental_id)) == [HELD, CLEARED]
    assert await ride.summary("user-1") == (1, 0, "CLEARED")


async def test_history_shows_each_step_with_its_cause(ride: Saga) -> None:
    rental_id = await ride.start()
    await ridden(ride, rental_id)
    steps = await ride.history(rental_id)
    assert [entry.status for entry in steps] == ["STARTING", "ACTIVE", "FINISHING", "FINISHED"]
    assert [entry.caused_by is None for entry in steps] == [True, False, True, False]


async def test_a_declined_deposit_cancels_and_frees_the_scooter(ride: Saga) -> None:
    ride.external.trouble("hold", mode="declining")
    rental_id = await ride.start()
    with pytest.raises(ScooterInUse):
        await ride.start("user-5")
    await ride.run_to_rest()
    ended = await ride.rental(rental_id)
    assert (ended.status, ended.reason) == (RentalStatus.CANCELLED, "the deposit was declined")
    assert ride.external.ledger(str(rental_id)) == [("hold", 300, "declined")]
    assert await ride.summary("user-1") == (0, 0, "DECLINED")
    await ride.start("user-5")


async def test_a_declined_total_becomes_a_debt_and_the_deposit_is_given_back(ride: Saga) -> None:
    ride.external.trouble("clear", mode="declining")
    rental_id = await ride.start()
    ended = await ridden(ride, rental_id)
    assert ended.status is RentalStatus.PAYMENT_FAILED
    assert ended.payment_status is PaymentStatus.RELEASED
    assert ride.external.ledger(str(rental_id)) == [HELD, ("clear", 69, "declined"), RELEASED]
    assert await ride.summary("user-1") == (1, 69, "CLEAR_DECLINED")


async def test_a_ride_that_costs_nothing_gives_the_deposit_back(ride: Saga) -> None:
    rental_id = await ride.start()
    ended = await ridden(ride, rental_id, seconds=0)
    assert (ended.status, ended.total_amount) == (RentalStatus.FINISHED, 0)
    assert ended.payment_status is PaymentStatus.RELEASED
    assert ride.external.ledger(str(rental_id)) == [HELD, RELEASED]


async def test_amounts_of_nothing_make_no_call(ride: Saga) -> None:
    """Who is trusted leaves no deposit."""
    rental_id = await ride.start("user-5")
    ended = await ridden(ride, rental_id, seconds=0)
    assert ended.status is RentalStatus.FINISHED
    assert ride.external.ledger() == []


@pytest.mark.parametrize("step", ["hold", "clear"])
@pytest.mark.parametrize("mode", ["failing", "hanging", "nonsense"])
async def test_an_unknown_outcome_is_asked_again_with_the_same_key(
    ride: Saga, step: str, mode: str
) -> None:
    seconds = {"seconds": 1.1} if mode == "hanging" else {}
    ride.external.trouble(step, mode=mode, next=4, **seconds)
    rental_id = await ride.start()
    ended = await ridden(ride, rental_id)
    assert ended.status is RentalStatus.FINISHED
    assert ride.external.ledger(str(rental_id)) == [HELD, CLEARED]


async def test_no_event_takes_effect_twice_however_often_it_is_carried(ride: Saga) -> None:
    rental_id = await ride.start()
    for _ in range(2):
        await ride.carry(keep=True)
    await ride.jobs.run_due()
    for _ in range(2):
        await ride.carry(keep=True)
    await ride.age(rental_id, 60)
    await ride.finish(rental_id)
    await ride.carry(keep=True)
    await ride.jobs.run_due()
    for _ in range(2):
        await ride.carry(keep=True)
    assert (await ride.rental(rental_id)).status is RentalStatus.FINISHED
    assert ride.external.ledger(str(rental_id)) == [HELD, CLEARED]
    assert await ride.summary("user-1") == (1, 0, "CLEARED")


STEPS = ("finish", "finish", "carry rental.started", "call", "carry payment")


@pytest.mark.parametrize("declines", ["nothing", "hold", "clear"])
async def test_every_order_of_finishing_and_hearing_of_the_deposit_ends_in_one_state(
    ride: Saga, declines: str
) -> None:
    """Two finishes fall anywhere between the start, the provider's answer and its being heard."""
    if declines != "nothing":
        ride.external.trouble(declines, mode="declining")
    for number, order in enumerate(sorted(set(permutations(STEPS)))):
        rental_id = await ride.start(f"user-{10 + number}", f"scooter-{number}")
        for step in order:
            await _take(ride, rental_id, step)
        await ride.run_to_rest()
        await _take(ride, rental_id, "finish")
        await ride.run_to_rest()
        ended = await ride.rental(rental_id)
        assert ended.status in LIFECYCLE.terminal, order
        assert ride.external.ledger(str(rental_id)) == _ledger_of(ended), order


async def _take(ride: Saga, rental_id: UUID, step: str) -> None:
    if step == "finish":
        await ride.age(rental_id, 60)
        try:
            await ride.finish(rental_id)
        except RentalNotActive:
            status = (await ride.rental(rental_id)).status
            assert status in (RentalStatus.STARTING, RentalStatus.CANCELLED)
    elif step == "call":
        await ride.jobs.run_due()
    elif step == "carry payment":
        await ride.carry("payment.held", "payment.declined")
    else:
        await ride.carry("rental.started")


def _ledger_of(ended: Rental) -> list[tuple[str, int, str]]:
    clear = ("clear", ended.total_amount)
    return {
        RentalStatus.CANCELLED: [("hold", 300, "declined")],
        RentalStatus.FINISHED: [HELD, (*clear, "cleared")],
        RentalStatus.PAYMENT_FAILED: [HELD, (*clear, "declined"), RELEASED],
    }[ended.status]
