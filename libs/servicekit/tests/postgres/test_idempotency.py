"""Idempotency keys on the real database: one effect per key, whatever happens in between."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import psycopg
import pytest
from sqlalchemy import text

from kit.http import ledger_process
from kit.http import ledger_service as world
from kit.http.ledger_service import ENTRY, Ledger
from servicekit.process.urls import PostgresUrl

KEY = {"Idempotency-Key": "one"}
SOME = UUID(int=1)


@pytest.fixture
async def elsewhere(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    """Another process with the same database, as seen by the caller."""
    async with world.client(world.build(ledger.elsewhere())) as client:
        yield client


@pytest.fixture
async def http(ledger: Ledger) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client(world.LosesAnswers(world.build(ledger), ledger)) as client:
        yield client


async def test_a_retry_gets_the_first_answer_byte_for_byte(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    first = await http.post("/entries", json=ENTRY, headers=KEY)
    again = await http.post("/entries", json=ENTRY, headers=KEY)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    for header in ("Location", "ETag", "Content-Type", "Content-Length"):
        assert first.headers[header] == again.headers[header]
    assert await ledger.count() == 1


async def test_without_a_key_every_request_takes_effect_and_no_key_is_stored(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    for _ in range(2):
        assert (await http.post("/entries", json=ENTRY)).status_code == 201
    assert (await ledger.count(), await ledger.count("idempotency_keys")) == (2, 0)


async def test_an_answer_without_a_body_is_replayed_as_one(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    answers = [await http.post(f"/entries/{SOME}/double", headers=KEY) for _ in range(2)]
    assert [(one.status_code, one.content) for one in answers] == [(204, b"")] * 2
    assert "Content-Type" not in answers[1].headers
    assert await ledger.count() == 1


async def test_patch_honours_a_key(http: httpx.AsyncClient, ledger: Ledger) -> None:
    answers = [await http.patch(f"/entries/{SOME}", json=ENTRY, headers=KEY) for _ in range(2)]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert await ledger.count() == 1


async def test_a_key_belongs_to_method_and_path(http: httpx.AsyncClient, ledger: Ledger) -> None:
    for method, path in [
        ("POST", "/entries"),
        ("POST", "/entries/new"),
        ("PATCH", f"/entries/{SOME}"),
        ("PATCH", f"/entries/{UUID(int=2)}"),
        ("POST", f"/entries/{SOME}/double"),
    ]:
        body = None if path.endswith("/double") else ENTRY
        answer = await http.request(method, path, json=body, headers=KEY)
        assert answer.is_success
        assert "Idempotency-Replayed" not in answer.headers
    assert await ledger.count() == 5


async def test_a_trailing_slash_is_the_same_path_to_a_key(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    for path in ("/entries/", "/entries", "/%65ntries"):
        assert (await http.post(path, json=ENTRY, headers=KEY)).status_code == 201
    assert await ledger.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        '{"amount":"1.50","owner":"o"}',
        ' {"owner" : "o",\n "amount" : "1.50"} ',
        '{"owner":"\\u006f","amount":"1.50"}',
    ],
)
async def test_the_same_json_in_another_order_is_the_same_request(
    http: httpx.AsyncClient, body: str
) -> None:
    headers = {**KEY, "Content-Type": "application/json"}
    await http.post("/entries", json=ENTRY, headers=headers)
    again = await http.post("/entries", content=body, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("path", "body", "more"),
    [
        ("", '{"owner":"o","amount":"1.51"}', {}),
        ("", '{"owner":"o","amount":1.50}', {}),
        ("", '{"owner":"o","amount":"1.50","notes":{}}', {}),
        ("", '{"owner":"p","amount":"1.50"}', {}),
        ("?draft=true", '{"owner":"o","amount":"1.50"}', {}),
        ("", '{"owner":"o","amount":"1.50"}', {"If-Match": '"2"'}),
    ],
)
async def test_the_key_of_another_request_is_refused(
    http: httpx.AsyncClient, ledger: Ledger, path: str, body: str, more: dict[str, str]
) -> None:
    await http.post("/entries", json=ENTRY, headers=KEY)
    headers = {**KEY, "Content-Type": "application/json", **more}
    answer = await http.post(f"/entries{path}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert [error["field"] for error in answer.json()["errors"]] == ["Idempotency-Key"]
    assert await ledger.count() == 1


async def test_a_key_whose_first_request_still_runs_is_in_flight(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    ledger.pause = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(http.post("/entries", json=ENTRY, headers=KEY))
        await ledger.entered.wait()
        second = await http.post("/entries", json=ENTRY, headers=KEY)
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_key_in_flight")
        assert second.headers["Retry-After"] == "1"
        ledger.pause.set()
    third = await http.post("/entries", json=ENTRY, headers=KEY)
    assert third.content == first.result().content
    assert await ledger.count() == 1


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (world.Refused(), 409),
        (RuntimeError(), 500),
        (psycopg.OperationalError(), 503),
        (asyncio.CancelledError(), 503),
    ],
)
async def test_a_failed_request_leaves_nothing_and_its_retry_runs_again(
    http: httpx.AsyncClient, ledger: Ledger, refusal: Exception, status: int
) -> None:
    ledger.refuse = refusal
    assert (await http.post("/entries", json=ENTRY, headers=KEY)).status_code == status
    assert (await ledger.count(), await ledger.count("idempotency_keys")) == (0, 0)
    ledger.refuse = None
    other = await http.post("/entries", json={**ENTRY, "owner": "p"}, headers=KEY)
    assert other.status_code == 201
    assert "Idempotency-Replayed" not in other.headers


async def test_a_request_refused_before_it_ran_leaves_its_key_free(
    http: httpx.AsyncClient,
) -> None:
    bad = await http.post("/entries", json={**ENTRY, "amount": "-1"}, headers=KEY)
    assert bad.status_code == 422
    assert (await http.post("/entries", json=ENTRY, headers=KEY)).status_code == 201


async def test_an_answer_lost_after_the_commit_is_replayed(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    ledger.drop_answers = True
    with pytest.raises(AssertionError):  # what the client makes of no answer at all
        await http.post("/entries", json=ENTRY, headers=KEY)
    ledger.drop_answers = False
    again = await http.post("/entries", json=ENTRY, headers=KEY)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert await ledger.count() == 1


async def test_a_key_that_cannot_be_stored_undoes_what_the_request_did(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    async with ledger.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE idempotency_keys ADD CHECK (status = 0)"))
    answer = await http.post("/entries", json=ENTRY, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert await ledger.count() == 0


@pytest.mark.usefixtures("patience")
async def test_one_key_fifty_times_at_once_takes_effect_once(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    for number in range(20):
        headers = {"Idempotency-Key": f"round-{number}"}
        answers = await asyncio.gather(
            *(http.post("/entries", json=ENTRY, headers=headers) for _ in range(50))
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) <= {201, 409}
        assert len({a.content for a in answers if a.status_code == 201}) == 1
        codes = {a.json()["code"] for a in answers if a.status_code == 409}
        assert codes <= {"idempotency_key_in_flight"}
        assert await ledger.count() == number + 1
    assert await ledger.count("idempotency_keys") == 20


@pytest.mark.usefixtures("patience")
@pytest.mark.parametrize("path", ["/entries", "/entries/written"])
async def test_one_key_at_two_processes_at_once_takes_effect_once(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, ledger: Ledger, path: str
) -> None:
    for number in range(20):
        requests = [
            one.post(path, json=ENTRY, headers={"Idempotency-Key": f"{number}-{key}"})
            for key in range(10)
            for one in (http, elsewhere)
        ]
        answers = await asyncio.gather(*requests)
        assert {answer.status_code for answer in answers} <= {201, 409}
        for pair in zip(answers[::2], answers[1::2], strict=True):
            done = [answer for answer in pair if answer.status_code == 201]
            assert len({answer.content for answer in done}) == 1
            refused = {answer.json()["code"] for answer in pair if answer not in done}
            assert refused <= {"idempotency_key_in_flight"}
        assert await ledger.count() == 10 * (number + 1)


async def test_a_key_that_runs_in_another_process_is_in_flight(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, ledger: Ledger
) -> None:
    ledger.pause = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(http.post("/entries", json=ENTRY, headers=KEY))
        await ledger.entered.wait()
        second = await elsewhere.post("/entries", json=ENTRY, headers=KEY)
        assert (second.status_code, second.json()["code"]) == (409, "idempotency_key_in_flight")
        ledger.pause.set()
    again = await elsewhere.post("/entries", json=ENTRY, headers=KEY)
    assert again.content == first.result().content
    assert await ledger.count() == 1


async def test_a_request_that_was_overtaken_elsewhere_gets_the_answer_of_the_other(
    http: httpx.AsyncClient, elsewhere: httpx.AsyncClient, ledger: Ledger
) -> None:
    """It only writes, so it claims the key when it commits."""
    ledger.pause = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        late = group.create_task(http.post("/entries/written", json=ENTRY, headers=KEY))
        await ledger.entered.wait()
        first = await elsewhere.post("/entries/written", json=ENTRY, headers=KEY)
        ledger.pause.set()
    assert late.result().content == first.content
    assert late.result().headers["Idempotency-Replayed"] == "true"
    assert await ledger.count() == 1


async def test_keys_of_one_group_are_kept_with_their_rows(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    headers = [{"Idempotency-Key": f"key-{number}"} for number in range(30)]
    for replayed in (None, "true"):
        answers = await asyncio.gather(
            *(http.post("/entries/written", json=ENTRY, headers=one) for one in headers)
        )
        assert {answer.status_code for answer in answers} == {201}
        found = {answer.headers.get("Idempotency-Replayed") for answer in answers}
        assert found == {replayed}
    assert (await ledger.count(), await ledger.count("idempotency_keys")) == (30, 30)


async def test_a_request_with_a_key_that_gives_no_answer_keeps_nothing(
    http: httpx.AsyncClient, ledger: Ledger
) -> None:
    answer = await http.post("/entries/silent", json=ENTRY, headers=KEY)
    assert (answer.status_code, await ledger.count()) == (500, 0)


@pytest.mark.usefixtures("patience")
async def test_replays_at_once_do_not_block_each_other(http: httpx.AsyncClient) -> None:
    await http.post("/entries", json=ENTRY, headers=KEY)
    answers = await asyncio.gather(
        *(http.post("/entries", json=ENTRY, headers=KEY) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}


async def test_a_database_that_goes_away_is_a_503_and_a_key_that_is_not_used(
    http: httpx.AsyncClient, ledger: Ledger, database: PostgresUrl
) -> None:
    ledger.pause = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(http.post("/entries", json=ENTRY, headers=KEY))
        await ledger.entered.wait()
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as admin:
            await admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ledger.pause.set()
    assert first.result().status_code == 503
    ledger.pause = None
    again = await http.post("/entries", json=ENTRY, headers=KEY)
    assert again.status_code == 201
    assert "Idempotency-Replayed" not in again.headers


async def test_a_process_killed_between_commit_and_answers_has_kept_every_answer(
    http: httpx.AsyncClient, ledger: Ledger, database: PostgresUrl
) -> None:
    process = await ledger_process.begin(database, die_at="group.committed")
    assert await process.wait() == -signal.SIGKILL
    assert await ledger.count() == ledger_process.REQUESTS
    for headers in ledger_process.KEYS:
        again = await http.post("/entries/written", json=ENTRY, headers=headers)
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
    assert await ledger.count() == ledger_process.REQUESTS
