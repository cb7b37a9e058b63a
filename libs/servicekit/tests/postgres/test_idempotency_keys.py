"""Which keys are accepted, how long they live, and how they are deleted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from kit.http import ledger_service as world
from kit.http.ledger_service import ENTRY, Ledger
from servicekit.database.expiry import Expiry, delete_expired
from servicekit.http.idempotency_keys import delete_expired_batch

KEY = {"Idempotency-Key": "one"}


@pytest.fixture
async def http(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(world.build(ledger)) as client:
        yield client


@pytest.mark.parametrize("key", ["", "a b", "\x7f", "é", "k" * 256, "\t"])
async def test_a_malformed_key_is_refused(
    http: httpx.AsyncClient, ledger: Ledger, key: str
) -> None:
    answer = await http.post(
        "/entries", json=ENTRY, headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]
    assert await ledger.count() == 0


@pytest.mark.parametrize("key", ["a", "k" * 255, "!~\"'\\,;"])
async def test_visible_ascii_is_a_key(http: httpx.AsyncClient, key: str) -> None:
    for _ in range(2):
        headers = {"Idempotency-Key": key}
        assert (await http.post("/entries", json=ENTRY, headers=headers)).status_code == 201


async def test_two_keys_are_refused(http: httpx.AsyncClient) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert (await http.post("/entries", json=ENTRY, headers=headers)).status_code == 422


async def _expire(ledger: Ledger, keys: str = "true") -> None:
    async with ledger.engine.begin() as connection:
        await connection.execute(
            text(f"UPDATE idempotency_keys SET expires_at = now() - interval '1 s' WHERE {keys}")
        )


async def test_an_expired_key_is_a_new_key(http: httpx.AsyncClient, ledger: Ledger) -> None:
    first = await http.post("/entries", json=ENTRY, headers=KEY)
    await _expire(ledger)
    other = {**ENTRY, "owner": "p"}
    second = await http.post("/entries", json=other, headers=KEY)
    assert second.status_code == 201
    assert first.json()["id"] != second.json()["id"]
    assert (await http.post("/entries", json=other, headers=KEY)).content == second.content


async def test_an_expired_key_whose_new_request_fails_is_forgotten_later(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    await http.post("/entries", json=ENTRY, headers=KEY)
    await _expire(ledger)
    ledger.refuse = world.Refused()
    assert (await http.post("/entries", json=ENTRY, headers=KEY)).status_code == 409
    assert await delete_expired(ledger.engine, delete_expired_batch) == 1


async def test_a_key_lives_as_long_as_it_was_set_to_and_a_minute_at_most(ledger: Ledger) -> None:
    async with world.client(world.build(ledger, timedelta(hours=2))) as http:
        await http.post("/entries", json=ENTRY, headers=KEY)
    async with ledger.engine.connect() as connection:
        left = await connection.execute(text("SELECT expires_at - now() FROM idempotency_keys"))
        assert timedelta(hours=2) - timedelta(seconds=10) < left.scalar_one()
        left = await connection.execute(text("SELECT expires_at - now() FROM idempotency_keys"))
        assert left.scalar_one() <= timedelta(hours=2, minutes=1)


async def _add_keys(ledger: Ledger, count: int) -> None:
    async with ledger.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO idempotency_keys SELECT gen_random_uuid(), gen_random_uuid(), 201,"
                " now() + interval '1 hour' * (CASE WHEN n % 10 = 0 THEN 1 ELSE -1 END), '{}', ''"
                " FROM generate_series(1, :count) n"
            ),
            {"count": count},
        )


async def test_several_processes_delete_exactly_the_expired_keys(ledger: Ledger) -> None:
    await _add_keys(ledger, 3000)
    deleted = await asyncio.gather(
        *(delete_expired(ledger.engine, delete_expired_batch, batch=100) for _ in range(4))
    )
    # Who finds the rest locked by others leaves it to them.
    assert sum(deleted) == 2700
    assert await ledger.count("idempotency_keys") == 300


async def test_the_expiry_of_keys_works_until_it_is_stopped(ledger: Ledger) -> None:
    await _add_keys(ledger, 100)
    upkeep, stop = Expiry(ledger.engine, delete_expired_batch, rows="keys"), asyncio.Event()
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        group.create_task(upkeep.run(stop))
        while not upkeep.running:  # noqa: ASYNC110 it tells nobody
            await asyncio.sleep(0.01)
        assert await ledger.count("idempotency_keys") == 10
        stop.set()
    assert not upkeep.running


async def test_a_body_nested_too_deeply_to_be_written_again_is_no_crash(
    http: httpx.AsyncClient,
) -> None:
    headers = {**KEY, "Content-Type": "application/json"}
    for depth in (100, 300, 900, 990):
        notes = "[" * depth + "]" * depth
        body = json.dumps(ENTRY)[:-1] + f', "notes": {{"a": {notes}}}}}'
        answer = await http.post("/entries", content=body, headers=headers)
        assert answer.status_code in (201, 400, 422)


async def test_the_answers_to_a_key_are_documented(http: httpx.AsyncClient) -> None:
    document = (await http.get("http://ledger/openapi.json")).json()
    operation = document["paths"]["/api/v1/entries"]["post"]
    [parameter] = [one for one in operation["parameters"] if one["in"] == "header"]
    assert parameter["name"] == "Idempotency-Key"
    assert parameter["required"] is False
    problem = "application/problem+json"
    in_flight = operation["responses"]["409"]["content"][problem]["examples"]
    refused = operation["responses"]["422"]["content"][problem]["examples"]
    assert set(in_flight) == {"idempotency_key_in_flight"}
    assert set(refused) == {"validation_failed", "idempotency_key_reused", "unknown_parameter"}
    assert "Idempotency-Replayed" in operation["responses"]["201"]["headers"]
    assert operation["responses"]["201"]["content"]["application/json"]["schema"]
