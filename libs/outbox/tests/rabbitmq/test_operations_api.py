"""The HTTP operations: who may call, what is refused, and what the answers say."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import httpx
import psycopg
import pytest
from aiormq.exceptions import AMQPError, ChannelInvalidStateError

from kit.outbox.deliveries import events, stream_of
from kit.outbox.world import QUEUE, SOURCE, Happened, World
from kit.waiting import eventually
from outbox import Application, Envelope, InboxSettings, Retry, UnitOfWork
from outbox.errors import InvalidSetting
from outbox.inbox.inbox import Inbox
from outbox.operations import Actor, open_operator
from outbox.operations.roles import Role
from outbox.operations_api import OperatedService, Tokens, access, build_operations_app
from outbox.operations_api.access import READING
from outbox.operations_api.tokens import Caller

OPERATOR, VIEWER = "an-operators-long-random-token", "a-viewers-long-random-token"
JSON = {"Content-Type": "application/json"}
SKIP = (
    f'{{"consumer": "{QUEUE}", "stream": {{"source": "{SOURCE}", "aggregate_type": "order",'
    '"aggregate_id": "a"}, "tail": true, "through": %d}'
)
CHOSEN = {"consumer": QUEUE, "selection": {"reason": "failed"}}


def hashed(token: str) -> str:
    return sha256(token.encode()).hexdigest()


TOKENS = Tokens.parse(f"ann:operator:{hashed(OPERATOR)}, vic:viewer:{hashed(VIEWER)}")


async def fails(_: UnitOfWork, event: Envelope) -> None:
    raise ValueError(f"<script>alert(1)</script> {event.stream.aggregate_id}")


@pytest.fixture
async def poisoned(world: World) -> World:
    """Two streams of three events wait behind a first one that failed."""
    settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)})
    inbox = Inbox(QUEUE, {"order.happened": fails}, world.work, settings)
    for name in "ab":
        await inbox.handle(events(3, name))
    return world


def client_of(world: World, tokens: Tokens, token: str | None) -> httpx.AsyncClient:
    application = Application(world.topology)
    service = OperatedService("shop", world.database_url, world.broker_url, None, application)
    transport = httpx.ASGITransport(build_operations_app(service, tokens))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url="http://shop", headers=headers)


@pytest.fixture
async def ann(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(world, TOKENS, OPERATOR) as client:
        yield client


@pytest.fixture
async def vic(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(world, TOKENS, VIEWER) as client:
        yield client


async def document(world: World) -> dict[str, Any]:
    async with client_of(world, Tokens(), None) as client:
        found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, f"/problems/{code}")
    return body


async def test_no_operation_answers_without_a_token_that_is_known(world: World) -> None:
    operations = [
        (method, path)
        for path, methods in (await document(world))["paths"].items()
        for method in methods
    ]
    assert len(operations) > 40
    for token in (None, "", "wrong", hashed(OPERATOR), "ann"):
        async with client_of(world, TOKENS, token) as client:
            for method, path in operations:
                answer = await client.request(method, path, json={} if method == "post" else None)
                is_problem(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"] == "Bearer"
    basic = {"Authorization": f"Basic {OPERATOR}"}
    async with client_of(world, TOKENS, None) as client:
        is_problem(await client.get("/status", headers=basic), 401, "unauthorized")


async def test_without_tokens_nobody_may_call(world: World) -> None:
    async with client_of(world, Tokens(), OPERATOR) as client:
        body = is_problem(await client.get("/status"), 401, "unauthorized")
    assert "OPERATIONS_TOKENS" in body["detail"]


async def test_a_viewer_reads_and_previews_and_changes_nothing(
    poisoned: World, vic: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    paths = (await document(poisoned))["paths"]
    changes = [p for p, m in paths.items() if "post" in m and not p.endswith("/preview")]
    assert len(changes) > 15
    with caplog.at_level(logging.WARNING):
        for path in changes:
            is_problem(await vic.post(path, json={"any": "thing"}), 403, "forbidden")
    said = [r.getMessage() for r in caplog.records if "may not" in r.getMessage()]
    assert said == [f"vic (viewer) may not POST {path}" for path in changes]
    assert (await vic.get("/parked/groups")).json()[0]["streams"] == 2
    preview = await vic.post("/parked/redrive/preview", json=CHOSEN)
    assert (preview.status_code, preview.json()["followers"]) == (200, 4)
    assert await poisoned.rows("SELECT count(*) FROM outbox_operations_log") == [(0,)]


async def test_a_change_moves_what_was_previewed_and_is_written_down(
    poisoned: World, ann: httpx.AsyncClient
) -> None:
    seen = (await ann.post("/parked/redrive/preview", json=CHOSEN)).json()
    answer = await ann.post("/parked/redrive", json={**CHOSEN, "seen": seen, "note": "again"})
    assert (answer.status_code, answer.json()) == (200, {"streams": 2})
    [row] = (await ann.get("/history")).json()["items"]
    assert (row["actor"], row["via"], row["address"], row["note"]) == (
        "ann",
        "http",
        "127.0.0.1",
        "again",
    )


async def test_what_has_changed_since_is_a_conflict_with_before_and_now(
    poisoned: World, ann: httpx.AsyncClient
) -> None:
    seen = (await ann.post("/parked/discard/preview", json=CHOSEN)).json()
    one = {**CHOSEN, "selection": {"reason": "failed", "aggregate_id": "a"}}
    assert (await ann.post("/parked/discard", json=one)).json() == {"events": 1}
    answer = await ann.post("/parked/discard", json={**CHOSEN, "seen": seen})
    body = is_problem(answer, 409, "changed_since")
    assert (body["before"]["events"], body["now"]["events"]) == (2, 1)
    assert await poisoned.rows("SELECT count(*) FROM inbox_discarded") == [(1,)]


async def test_somebody_else_at_it_is_a_conflict_with_who(
    poisoned: World, ann: httpx.AsyncClient
) -> None:
    async with (
        open_operator(poisoned.database_url, by=Actor("ben", via="cli")) as ben,
        ben.record.change("redrive parked", QUEUE),
    ):
        answer = await ann.post("/parked/redrive", json=CHOSEN)
    body = is_problem(answer, 409, "operation_in_progress")
    assert body["by"] == "ben (cli)"


async def test_a_discard_says_which_events(poisoned: World, ann: httpx.AsyncClient) -> None:
    answer = await ann.post("/parked/discard", json={"consumer": QUEUE})
    is_problem(answer, 422, "validation_failed")
    assert await poisoned.rows("SELECT count(*) FROM inbox_discarded") == [(0,)]


async def test_a_body_is_edited_and_texts_of_events_stay_texts(
    poisoned: World, ann: httpx.AsyncClient
) -> None:
    stream = {"source": SOURCE, "aggregate_type": "order", "aggregate_id": "a"}
    query: dict[str, str | int] = {"consumer": QUEUE, **stream, "sequence": 1}
    answer = await ann.get("/parked/events", params=query)
    [event] = answer.json()["items"]
    assert answer.headers["content-type"] == "application/json"
    assert event["last_error"] == "ValueError: <script>alert(1)</script> a"
    one = {"consumer": QUEUE, "stream": stream, "sequence": 1, "event_id": event["event_id"]}
    seen = (await ann.post("/parked/edit/preview", json=one)).json()
    bad = await ann.post("/parked/edit", json={**one, "body": "{", "seen": seen})
    is_problem(bad, 422, "invalid_event")
    done = await ann.post("/parked/edit", json={**one, "body": "[1]", "seen": seen})
    assert (done.status_code, done.json()["body"]) == (200, "{}")
    assert (await ann.get("/parked/events", params=query)).json()["items"][0]["body"] == "[1]"


@pytest.mark.parametrize(
    "query",
    [
        {"consumer": QUEUE, "after": "forged"},
        {"consumer": "a\0b"},
        {"limit": "0"},
        {"limit": "100000"},
    ],
)
async def test_what_no_list_can_answer_is_a_problem(
    world: World, vic: httpx.AsyncClient, query: dict[str, str]
) -> None:
    is_problem(await vic.get("/parked", params=query), 422, "validation_failed")


@pytest.mark.parametrize("name", ["'; DROP TABLE inbox; --", "100%", "%(id)s", "a/b?c#d", "ä\n"])
async def test_an_id_is_data(world: World, vic: httpx.AsyncClient, name: str) -> None:
    await world.emit(Happened(name))
    found = (await vic.get("/streams", params={"aggregate_id": name})).json()
    assert found == [{"source": SOURCE, "aggregate_type": "order", "aggregate_id": name}]
    shown = (await vic.get("/streams/events", params=found[0])).json()
    assert (shown["last"], shown["events"][0]["type"]) == (1, "order.happened")
    assert stream_of(name).aggregate_id == name


async def test_unknown_members_of_a_body_are_refused(
    poisoned: World, ann: httpx.AsyncClient
) -> None:
    mistyped = {"consumer": QUEUE, "selection": {"reasons": "failed"}}
    answer = await ann.post("/parked/redrive", json=mistyped)
    body = is_problem(answer, 422, "validation_failed")
    assert body["errors"][0]["field"] == "body.selection.reasons"


async def test_a_database_that_is_away_is_503_without_its_address(world: World) -> None:
    service = OperatedService("shop", "postgresql://u:secret@127.0.0.1:1/none")
    transport = httpx.ASGITransport(build_operations_app(service, TOKENS))
    headers = {"Authorization": f"Bearer {VIEWER}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        answer = await client.get("/status", headers=headers)
    is_problem(answer, 503, "database_unavailable")
    assert "127.0.0.1" not in answer.text


async def test_every_read_answers(poisoned: World, vic: httpx.AsyncClient) -> None:
    paths = (await document(poisoned))["paths"]
    plain = [
        path
        for path, methods in paths.items()
        if "get" in methods
        and not any(one["required"] for one in methods["get"].get("parameters", ()))
    ]
    assert len(plain) > 10
    for path in plain:
        answer = await vic.get(path)
        assert answer.status_code == 200, (path, answer.text)
        json.loads(answer.text)


async def test_the_document_has_an_example_for_each_answer(world: World) -> None:
    described = await document(world)
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            content = operation["responses"]["200"]["content"]["application/json"]
            assert "example" in content, (method, path)
            assert operation["security"], (method, path)
            assert operation["description"].endswith("."), (method, path)


@pytest.mark.parametrize(
    "text",
    ["ann", "ann:operator", "ann:admin:" + "0" * 64, "ann:operator:short", ":viewer:" + "0" * 64],
)
def test_a_malformed_token_is_refused_without_its_hash(text: str) -> None:
    with pytest.raises(InvalidSetting, match="token 1 has to be name:role") as refused:
        Tokens.parse(text)
    assert "0000" not in str(refused.value)


def test_a_token_leads_to_its_caller_alone() -> None:
    assert TOKENS.caller_of(OPERATOR) == Caller("ann", Role.OPERATOR)
    assert TOKENS.caller_of(VIEWER) == Caller("vic", Role.VIEWER)
    assert TOKENS.caller_of("") is None
    assert Tokens.parse("").caller_of("") is None


async def test_a_pause_gets_through_whatever_takes_long(
    poisoned: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All connections for reads and for changes wait for a table that somebody has locked."""
    monkeypatch.setattr(access, "WAITING", 0.3)
    ann = client_of(poisoned, TOKENS, OPERATOR)
    async with ann, await poisoned.psycopg() as locking:
        async with locking.transaction():
            await locking.execute("LOCK TABLE inbox_parked")
            reads = [asyncio.create_task(ann.get("/parked")) for _ in range(READING.at_once)]
            changes = [
                asyncio.create_task(ann.post(f"/parked/{what}", json=CHOSEN))
                for what in ("redrive", "discard")
            ]
            await eventually(lambda: are_waiting(poisoned, len(reads) + len(changes)))
            for refused in (ann.get("/status"), ann.post("/parked/redrive", json=CHOSEN)):
                answer = await refused
                is_problem(answer, 503, "service_unavailable")
                assert int(answer.headers["retry-after"]) >= 0
            target = {"queue": QUEUE}
            assert (await ann.post("/controls/pause", json=target)).status_code == 200
            assert (await ann.post("/controls/resume", json=target)).json() == {"resumed": True}
        answers = await asyncio.gather(*reads, *changes)
    assert {one.status_code for one in answers} == {200}


async def test_a_replay_takes_no_connection_of_another_request(
    world: World, ann: httpx.AsyncClient
) -> None:
    await world.emit(*(Happened(str(number)) for number in range(3)))
    await world.execute("UPDATE outbox SET published_at = clock_timestamp()")
    chosen = {"type": "order.happened", "per_second": 0.5}
    slow = asyncio.create_task(ann.post("/replay", json=chosen))
    await eventually(lambda: is_replaying(world))
    for _ in range(READING.at_once + 1):
        body = is_problem(await ann.post("/replay", json=chosen), 409, "operation_in_progress")
        assert body["by"] == "ann (http)"
    assert (await ann.get("/status")).status_code == 200
    assert (await slow).json() == {"events": 3}


@pytest.mark.parametrize("per_second", ["0", "1e-9", "0.05", "1e400", "NaN"])
async def test_a_replay_that_never_ends_is_refused(
    world: World, ann: httpx.AsyncClient, per_second: str
) -> None:
    content = f'{{"type": "order.happened", "per_second": {per_second}}}'
    answer = await ann.post("/replay", content=content, headers=JSON)
    is_problem(answer, 422, "validation_failed")


@pytest.mark.parametrize("seconds", ["1e12", "315360001", "1e400", "NaN", "-1"])
async def test_a_control_has_an_end_that_can_be_read(
    world: World, ann: httpx.AsyncClient, seconds: str
) -> None:
    for what, rate in (("throttle", ', "rate": 1000'), ("pause", "")):
        content = f'{{"queue": "{QUEUE}", "seconds": {seconds}{rate}}}'
        answer = await ann.post(f"/controls/{what}", content=content, headers=JSON)
        is_problem(answer, 422, "validation_failed")
    assert (await ann.get("/controls")).json() == []


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/replay/preview", r'{"type": "\ud800"}'),
        ("/controls/resume", r'{"queue": "\ud800"}'),
        ("/controls/resume", r'{"queue": "a\u0000"}'),
        ("/controls/resume", r'{"queue": "a", "\ud800": 1}'),
        ("/controls/resume", '"' + r"\ud800" + '"'),
        ("/controls/resume", "[" * 100_000),
        ("/parked/skip/preview", SKIP % (10**30)),
        ("/parked/skip/preview", SKIP % (2**63 - 1)),
    ],
)
async def test_what_nothing_can_store_is_a_problem(
    world: World, ann: httpx.AsyncClient, path: str, content: str
) -> None:
    answer = await ann.post(path, content=content, headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    is_problem(answer, answer.status_code, answer.json()["code"])


async def test_a_group_of_tables_that_is_not_there_is_named(
    world: World, vic: httpx.AsyncClient
) -> None:
    await world.execute("DROP TABLE inbox_parked")
    body = is_problem(await vic.get("/parked"), 404, "not_there")
    assert "no such tables" in body["detail"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (TimeoutError(), 503, "broker_unavailable"),
        (AMQPError("closed"), 503, "broker_unavailable"),
        (ChannelInvalidStateError("closed"), 503, "broker_unavailable"),
        (psycopg.errors.QueryCanceled("too long"), 503, "took_too_long"),
        (psycopg.errors.UndefinedColumn("no column"), 503, "not_possible_now"),
        (psycopg.errors.SyntaxError("a bug"), 500, "internal_error"),
        (psycopg.errors.UniqueViolation("a bug"), 500, "internal_error"),
        (RuntimeError("a bug"), 500, "internal_error"),
        (NotImplementedError("a bug"), 500, "internal_error"),
        (KeyError("a bug"), 500, "internal_error"),
    ],
)
async def test_what_is_away_is_503_and_a_bug_is_500(
    world: World, error: Exception, status: int, code: str
) -> None:
    operations = build_operations_app(OperatedService("shop", world.database_url), TOKENS)

    @operations.get("/fails")
    async def fails() -> None:
        raise error

    transport = httpx.ASGITransport(operations, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        answer = await client.get("/fails")
    is_problem(answer, status, code)
    assert "a bug" not in answer.text


async def test_parked_bodies_are_read_in_pages_of_bounded_size(
    poisoned: World, vic: httpx.AsyncClient
) -> None:
    large = 5 * 1024 * 1024
    await poisoned.execute(
        f"UPDATE inbox_parked SET body = convert_to(repeat('1', {large}), 'UTF8')"
    )
    query = {"consumer": QUEUE, "source": SOURCE, "aggregate_type": "order", "aggregate_id": "a"}
    pages = [(await vic.get("/parked/events", params=query)).json()]
    while after := pages[-1]["next"]:
        pages.append((await vic.get("/parked/events", params={**query, "after": after})).json())
    assert [[one["sequence"] for one in page["items"]] for page in pages] == [[1, 2], [3]]
    assert all(len(one["body"]) == large for page in pages for one in page["items"])
    few = (await vic.get("/parked/events", params={**query, "limit": "1"})).json()
    assert ([one["sequence"] for one in few["items"]], bool(few["next"])) == ([1], True)


async def are_waiting(world: World, count: int) -> bool:
    """Whether so many connections wait for a lock on a table."""
    found = await world.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND wait_event = 'relation' AND datname = current_database()"
    )
    return found == [(count,)]


async def is_replaying(world: World) -> bool:
    rows = await world.rows("SELECT events FROM outbox_operations_log WHERE what = 'replay'")
    return any(events for (events,) in rows)
