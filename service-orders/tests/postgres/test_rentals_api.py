"""Offers and rentals over HTTP, on the real database and the stand-ins for external systems."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from sqlalchemy import text

from contracts.rentals import (
    PaymentClearDeclined,
    PaymentCleared,
    PaymentDeclined,
    PaymentHeld,
    RentalFinished,
    RentalStarted,
)
from kit.services.external_systems import KEY, ExternalWorld
from kit.services.service import Service
from service_orders.domains.rentals.repository import delete_expired_offers
from servicekit.database.expiry import delete_expired

OFFERS, RENTALS = "/api/v1/offers", "/api/v1/rentals"
NOW = datetime.now(UTC)


async def offer(
    service: Service, user_id: str = "user-1", scooter_id: str = "scooter-1"
) -> dict[str, Any]:
    body = {"user_id": user_id, "scooter_id": scooter_id}
    answer = await service.http.post(OFFERS, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def start(service: Service, token: str | None = None) -> dict[str, Any]:
    token = token or (await offer(service))["token"]
    answer = await service.http.post(RENTALS, json={"token": token})
    assert answer.status_code == 201, answer.text
    started: dict[str, Any] = answer.json()
    return started


async def active(service: Service, **wanted: str) -> dict[str, Any]:
    rental = await start(service, (await offer(service, **wanted))["token"])
    await service.receive(PaymentHeld(rental_id=rental["id"], amount=300, held_at=NOW))
    return await get(service, rental["id"])


async def get(service: Service, rental_id: str) -> dict[str, Any]:
    answer = await service.http.get(f"{RENTALS}/{rental_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def rows(service: Service, query: str) -> list[tuple[Any, ...]]:
    async with service.work.engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(query))]


async def first_rental(service: Service) -> list[tuple[Any, ...]]:
    """As soon as there is one."""
    deadline = time.monotonic() + 20
    while not (found := await rows(service, "SELECT id FROM rentals")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return found


async def refused(service: Service, path: str, body: dict[str, Any]) -> tuple[int, str]:
    answer = await service.http.post(path, json=body)
    return answer.status_code, answer.json()["code"]


# -- offers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "scooter", "prices"),
    [
        ("user-1", "scooter-1", (24, 45, 300)),
        ("user-1", "scooter-low-1", (18, 45, 300)),
        ("user-3", "scooter-1", (24, 45, 375)),
        ("user-4", "scooter-1", (24, 0, 300)),
        ("user-5", "surge-zone-scooter", (24, 45, 0)),
        ("user-1000", "zone2-scooter", (24, 45, 300)),
    ],
)
async def test_an_offer_has_the_price_of_this_user_and_scooter(
    service: Service, user: str, scooter: str, prices: tuple[int, int, int]
) -> None:
    made = await offer(service, user, scooter)
    assert (made["price_per_minute"], made["price_unlock"], made["deposit"]) == prices
    assert (made["user_id"], made["scooter_id"], made["zone_id"]) == (user, scooter, "korolev")
    expires_at = datetime.fromisoformat(made["expires_at"])
    assert datetime.now(UTC) < expires_at < datetime.now(UTC) + timedelta(minutes=5)


@pytest.mark.parametrize(
    ("user", "scooter", "refusal"),
    [
        ("user-1", "bike-1", (404, "scooter_not_found")),
        ("nobody", "scooter-1", (404, "user_not_found")),
        ("user-2", "scooter-1", (409, "user_has_debt")),
        ("", "scooter-1", (422, "validation_failed")),
        ("user-1", "", (422, "validation_failed")),
    ],
)
async def test_an_offer_is_refused_with_its_reason(
    service: Service, user: str, scooter: str, refusal: tuple[int, str]
) -> None:
    wanted = {"user_id": user, "scooter_id": scooter}
    assert await refused(service, OFFERS, wanted) == refusal


async def test_the_same_key_gets_the_same_offer(service: Service) -> None:
    body, key = {"user_id": "user-1", "scooter_id": "scooter-1"}, {"Idempotency-Key": "o"}
    answers = [await service.http.post(OFFERS, json=body, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json()


async def test_an_unpaid_ride_refuses_the_next_offer(service: Service) -> None:
    rental = await active(service)
    await age(service, 60)
    await service.http.post(f"{RENTALS}/{rental['id']}/finish")
    declined = PaymentClearDeclined(rental_id=rental["id"], amount=69, declined_at=NOW)
    await service.receive(declined)
    wanted = {"user_id": "user-1", "scooter_id": "scooter-2"}
    assert await refused(service, OFFERS, wanted) == (409, "user_has_debt")
    assert (await get(service, rental["id"]))["status"] == "PAYMENT_FAILED"


# -- starting ----------------------------------------------------------------------------------


async def test_a_rental_is_as_it_was_offered(service: Service) -> None:
    made = await offer(service)
    before = datetime.now(UTC)
    answer = await service.http.post(RENTALS, json={"token": made["token"]})
    rental = answer.json()
    assert answer.headers["Location"] == f"{RENTALS}/{rental['id']}"
    same = ("user_id", "scooter_id", "zone_id", "price_per_minute", "price_unlock", "deposit")
    assert [rental[field] for field in same] == [made[field] for field in same]
    assert (rental["status"], rental["payment_status"]) == ("STARTING", "HOLDING")
    assert (rental["active_at"], rental["finished_at"], rental["total_amount"]) == (None, None, 0)
    assert abs(datetime.fromisoformat(rental["started_at"]) - before) < timedelta(seconds=2)
    assert await get(service, rental["id"]) == rental


async def test_started_at_is_the_time_in_the_id(service: Service) -> None:
    rental = await start(service)
    milliseconds = UUID(rental["id"]).int >> 80
    assert datetime.fromisoformat(rental["started_at"]).timestamp() * 1000 == milliseconds


async def test_the_rental_and_its_event_are_one_transaction(service: Service) -> None:
    rental = await start(service)
    [stored] = await service.events()
    event = RentalStarted.from_envelope(stored)
    assert (stored.type, str(event.rental_id)) == ("rental.started", rental["id"])
    assert event.deposit == 300


async def test_waiting_answers_when_the_deposit_is_decided(service: Service) -> None:
    made = await offer(service)
    waiting = asyncio.create_task(
        service.http.post(f"{RENTALS}?wait=20", json={"token": made["token"]})
    )
    found = await first_rental(service)
    await service.receive(PaymentHeld(rental_id=found[0][0], amount=300, held_at=NOW))
    answer = await waiting
    assert (answer.status_code, answer.json()["status"]) == (201, "ACTIVE")
    assert answer.headers["Location"] == f"{RENTALS}/{found[0][0]}"


def _tampered(token: str) -> str:
    header, payload, signature = token.split(".")
    return f"{header}.{payload[:-2]}{'A' if payload[-2] != 'A' else 'B'}{payload[-1]}.{signature}"


def _foreign(token: str) -> str:
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="rental-offer")
    return jwt.encode(claims, "another key that nobody here knows of", algorithm="HS256")


def _unsigned(token: str) -> str:
    claims = jwt.decode(token, KEY, algorithms=["HS256"], audience="rental-offer")
    return jwt.encode(claims, None, algorithm="none")


@pytest.mark.parametrize(
    ("trick", "refusal"),
    [
        (_tampered, (400, "offer_invalid")),
        (_foreign, (400, "offer_invalid")),
        (_unsigned, (400, "offer_invalid")),
        (lambda _: "garbage", (400, "offer_invalid")),
        (lambda _: "", (422, "validation_failed")),
        (lambda token: token + "x" * 4096, (422, "validation_failed")),
    ],
    ids=["tampered", "another key", "no algorithm", "garbage", "empty", "too long"],
)
async def test_each_trick_with_a_token_is_refused_and_starts_nothing(
    service: Service, trick: Any, refusal: tuple[int, str]
) -> None:
    token = trick((await offer(service))["token"])
    assert await refused(service, RENTALS, {"token": token}) == refusal
    assert await rows(service, "SELECT id FROM rentals") == []
    assert await rows(service, "SELECT offer_id FROM used_offers") == []


async def test_a_token_is_missing(service: Service) -> None:
    assert await refused(service, RENTALS, {}) == (422, "validation_failed")


async def test_an_expired_offer_is_refused(service: Service, external: ExternalWorld) -> None:
    issuer = external.offer_issuer(ttl=timedelta(seconds=-1))
    _, token = await issuer.offer(service.work, "user-1", "scooter-1")
    assert await refused(service, RENTALS, {"token": token}) == (400, "offer_expired")


async def test_an_offer_is_used_once(service: Service) -> None:
    token = (await offer(service))["token"]
    rental = await start(service, token)
    assert await refused(service, RENTALS, {"token": token}) == (409, "offer_used")
    declined = PaymentDeclined(rental_id=rental["id"], amount=300, declined_at=NOW)
    await service.receive(declined)
    assert await refused(service, RENTALS, {"token": token}) == (409, "offer_used")


async def test_a_scooter_has_one_rider_at_a_time(service: Service) -> None:
    first = await active(service)
    token = (await offer(service, "user-5"))["token"]
    assert await refused(service, RENTALS, {"token": token}) == (409, "scooter_in_use")
    await service.http.post(f"{RENTALS}/{first['id']}/finish")
    assert (await start(service, token))["user_id"] == "user-5"


async def test_thirty_starts_at_once_with_one_token_are_one_rental(service: Service) -> None:
    token = (await offer(service))["token"]
    codes = await at_once(service, [token] * 30)
    assert codes == Counter({201: 1, "offer_used": 29})
    assert len(await rows(service, "SELECT id FROM rentals")) == 1


async def test_thirty_starts_at_once_for_one_scooter_are_one_rental(service: Service) -> None:
    tokens = [(await offer(service, f"user-{10 + n}"))["token"] for n in range(30)]
    codes = await at_once(service, tokens)
    assert codes == Counter({201: 1, "scooter_in_use": 29})
    assert len(await rows(service, "SELECT offer_id FROM used_offers")) == 1


async def at_once(service: Service, tokens: list[str]) -> Counter[Any]:
    answers = await asyncio.gather(
        *(service.http.post(RENTALS, json={"token": token}) for token in tokens)
    )
    return Counter(a.status_code if a.status_code == 201 else a.json()["code"] for a in answers)


async def test_without_a_key_there_are_no_offers(service: Service, external: ExternalWorld) -> None:
    state = service.http._transport.app.state  # type: ignore[attr-defined]
    issuer = external.offer_issuer(signs=False)
    state.dependencies = replace(state.dependencies, offer_issuer=issuer)
    wanted = {"user_id": "user-1", "scooter_id": "scooter-1"}
    assert await refused(service, OFFERS, wanted) == (503, "offers_unavailable")
    assert await refused(service, RENTALS, {"token": "x"}) == (503, "offers_unavailable")


async def test_the_rows_of_expired_offers_are_deleted(service: Service) -> None:
    await start(service)
    assert await delete_expired(service.work.engine, delete_expired_offers) == 0
    async with service.work.engine.begin() as connection:
        await connection.execute(
            text("UPDATE used_offers SET expires_at = now() - interval '2 hours'")
        )
    assert await delete_expired(service.work.engine, delete_expired_offers) == 1


# -- riding and finishing ----------------------------------------------------------------------


async def age(service: Service, seconds: int) -> None:
    """Let every ride have begun so much earlier."""
    async with service.work.engine.begin() as connection:
        await connection.execute(
            text("UPDATE rentals SET active_at = active_at - make_interval(secs => :s)"),
            {"s": seconds},
        )


async def test_the_cost_runs_from_active_and_the_total_stands_from_the_finish(
    service: Service,
) -> None:
    rental = await active(service)
    assert (rental["status"], rental["cost_so_far"], rental["total_amount"]) == ("ACTIVE", 0, 0)
    await age(service, 60)
    riding = await get(service, rental["id"])
    assert riding["cost_so_far"] >= 69
    assert riding["total_amount"] == 0
    receipt = (await service.http.post(f"{RENTALS}/{rental['id']}/finish")).json()
    ended = await get(service, rental["id"])
    assert receipt["total_amount"] == ended["total_amount"] == ended["cost_so_far"] >= 69
    assert receipt["finished_at"] == ended["finished_at"] > ended["active_at"]
    assert ended["status"] == "FINISHING"


async def test_a_ride_under_five_seconds_is_free(service: Service) -> None:
    rental = await active(service)
    receipt = (await service.http.post(f"{RENTALS}/{rental['id']}/finish")).json()
    assert receipt["total_amount"] == 0


async def test_finishing_again_gets_the_same_answer_and_charges_nothing(service: Service) -> None:
    rental = await active(service)
    await age(service, 60)
    path = f"{RENTALS}/{rental['id']}/finish"
    first = await service.http.post(path)
    again = await service.http.post(path)
    cleared = PaymentCleared(
        rental_id=rental["id"], amount=first.json()["total_amount"], cleared_at=NOW
    )
    await service.receive(cleared)
    later = await service.http.post(path)
    assert first.json() == again.json() == later.json()
    assert (await get(service, rental["id"]))["status"] == "FINISHED"
    [finished] = await service.emitted(RentalFinished)
    assert finished.total_amount == first.json()["total_amount"]


async def test_a_thousand_finishes_at_once_are_one_charge_and_one_answer(
    service: Service,
) -> None:
    rental = await active(service)
    await age(service, 60)
    path = f"{RENTALS}/{rental['id']}/finish"
    answers = await asyncio.gather(*(service.http.post(path) for _ in range(1000)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(await service.emitted(RentalFinished)) == 1


@pytest.mark.parametrize("declined", [False, True])
async def test_only_an_active_rental_can_be_finished(service: Service, declined: bool) -> None:
    rental = await start(service)
    if declined:
        event = PaymentDeclined(rental_id=rental["id"], amount=300, declined_at=NOW)
        await service.receive(event)
    path = f"{RENTALS}/{rental['id']}/finish"
    assert await refused(service, path, {}) == (409, "rental_not_active")


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("GET", "/history"), ("POST", "/finish")]
)
@pytest.mark.parametrize("rental_id", [UUID(int=7), UUID(int=2**128 - 1), uuid4()])
async def test_a_rental_that_is_not_there_is_a_problem(
    service: Service, method: str, tail: str, rental_id: UUID
) -> None:
    answer = await service.http.request(method, f"{RENTALS}/{rental_id}{tail}")
    assert (answer.status_code, answer.json()["code"]) == (404, "rental_not_found")


async def test_rentals_are_listed_by_user_and_status(service: Service) -> None:
    first = await active(service)
    tokens = [(await offer(service, f"user-{n}", f"scooter-{n}"))["token"] for n in (10, 11, 10)]
    await start(service, tokens[0])
    await start(service, tokens[1])

    async def listed(**query: str) -> list[str]:
        return [rental["scooter_id"] for rental in await service.listed(RENTALS, **query)]

    assert await listed() == ["scooter-11", "scooter-10", "scooter-1"]
    assert await listed(user_id="user-10") == ["scooter-10"]
    assert await listed(status="ACTIVE") == [first["scooter_id"]]
    assert await listed(user_id="user-10", status="ACTIVE") == []


async def test_pages_go_on_where_they_ended(service: Service) -> None:
    for number in range(5):
        await start(service, (await offer(service, scooter_id=f"scooter-{number}"))["token"])
    found = [rental["scooter_id"] for rental in await service.listed(RENTALS, limit=2)]
    assert found == [f"scooter-{number}" for number in (4, 3, 2, 1, 0)]


async def test_three_reads_are_equal_but_for_the_running_cost(service: Service) -> None:
    rental = await active(service)
    reads = [await get(service, rental["id"]) for _ in range(3)]
    for read in reads:
        read.pop("cost_so_far")
    assert reads[0] == reads[1] == reads[2]


# -- external systems that are not well --------------------------------------------------------


SYSTEMS = ("scooters", "tariffs", "profiles", "configs")


@pytest.mark.parametrize("mode", ["failing", "nonsense", "slow"])
@pytest.mark.parametrize(
    ("systems", "status"),
    [
        (("scooters",), 503),
        (("tariffs",), 503),
        (("profiles",), 201),
        (("configs",), 201),
        (SYSTEMS, 503),
    ],
    ids=["scooters", "tariffs", "profiles", "configs", "all"],
)
async def test_an_offer_needs_neither_profiles_nor_configs(
    service: Service, external: ExternalWorld, mode: str, systems: tuple[str, ...], status: int
) -> None:
    """Nothing is cached yet; and it is soon said, whatever is slow."""
    for system in systems:
        seconds = {"seconds": 60} if mode == "slow" else {}
        external.trouble(system, mode=mode, **seconds)
    body = {"user_id": "user-4", "scooter_id": "scooter-1"}
    began = time.monotonic()
    answer = await service.http.post(OFFERS, json=body)
    assert answer.status_code == status
    assert time.monotonic() - began < 20  # the timeout, and not what is slow
    if status == 503:
        assert answer.json()["code"] == "offers_unavailable"
        assert answer.headers["Retry-After"] == "5"
    elif "profiles" in systems:
        assert answer.json()["price_unlock"] == 45  # cautious terms: no subscription
    external.calm()


async def test_earlier_answers_serve_while_the_systems_are_away(
    service: Service, external: ExternalWorld
) -> None:
    before = await offer(service, "user-4")
    external.trouble("tariffs", mode="failing")
    external.trouble("profiles", mode="failing")
    external.trouble("configs", mode="failing")
    assert not await external.externals.refresh_rules()
    after = await offer(service, "user-4")
    same = ("price_per_minute", "price_unlock", "deposit")
    assert [after[field] for field in same] == [before[field] for field in same]


async def test_a_ride_is_finished_while_all_external_systems_are_away(
    service: Service, external: ExternalWorld
) -> None:
    rental = await active(service)
    for system in (*SYSTEMS, "hold", "clear", "release"):
        external.trouble(system, mode="hanging")
    answer = await service.http.post(f"{RENTALS}/{rental['id']}/finish")
    assert answer.status_code == 200


async def test_systems_that_recover_need_no_restart(
    service: Service, external: ExternalWorld
) -> None:
    external.trouble("scooters", mode="failing")
    body = {"user_id": "user-1", "scooter_id": "scooter-1"}
    for _ in range(6):
        assert await refused(service, OFFERS, body) == (503, "offers_unavailable")
    external.calm()
    deadline = time.monotonic() + 30
    while (await service.http.post(OFFERS, json=body)).status_code != 201:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
