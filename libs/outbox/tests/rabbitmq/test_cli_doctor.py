"""`outbox doctor`: each thing that is wrong is named with its fix."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aio_pika import Message

from kit.outbox.deliveries import events
from kit.outbox.operator import Pair, management_url, open_pair, record
from kit.outbox.topology import AUDITED
from kit.outbox.world import EXCHANGE, QUEUE, Happened, running
from kit.waiting import eventually
from outbox import Application, Consumer, HandlersByType, Relay
from outbox.inbox.inbox import Inbox
from outbox.operations.database import open_database
from outbox.operations.doctor import examine
from outbox.rabbitmq.management_api import Management
from outbox.rabbitmq.topology import entry_of, queue_arguments, unrouted_of

APP = ("--app", "kit.outbox.topology:TOPOLOGY")


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def errors(pair: Pair, *words: str) -> dict[str, str]:
    """What is wrong by check, each with its fix."""
    said = await pair.say("doctor", "--json", *words, status=1)
    found: dict[str, str] = {}
    for finding in said.json["findings"]:
        if finding["level"] == "error" and finding["check"] != "durability":
            assert finding["fix"]
            found[finding["check"]] = f"{found.get(finding['check'], '')} {finding['says']}".strip()
    return found


async def findings(pair: Pair) -> list[tuple[str, str]]:
    management = Management(management_url(), pair.producer.broker_url)
    async with open_database(pair.producer.database_url) as connection:
        found = await examine(
            connection,
            broker_url=pair.producer.broker_url,
            application=Application(pair.producer.topology),
            management=management,
        )
    return [(f.check, f.level.value) for f in found if f.check not in ("durability", "clock")]


async def test_a_system_that_runs_well_has_no_errors(pair: Pair) -> None:
    relay, consumer = pair.producer.relay(), pair.consumer.consumer(record)
    async with running(relay, consumer):
        await eventually(lambda: owns_all(relay, consumer))
        found = await findings(pair)
    assert {level for _, level in found} == {"ok"}
    assert {"tables", "indexes", "relay", f"queue {QUEUE}", "bindings"} <= {
        name for name, _ in found
    }


async def owns_all(relay: Relay, consumer: Consumer) -> bool:
    return len(relay.lanes) == 16 and consumer.running


async def test_a_missing_relay_queue_and_exchange_are_named(pair: Pair) -> None:
    found = await errors(pair, *APP)
    assert "no relay is connected" in found["relay"]
    assert "does not exist" in found[f"queue {QUEUE}"]
    assert "does not exist" in found[f"exchange {EXCHANGE}"]


async def test_a_missing_index_and_missing_columns_are_named(pair: Pair) -> None:
    await pair.producer.execute("DROP INDEX outbox_unpublished")
    assert "outbox_unpublished" in (await errors(pair))["indexes"]
    await pair.producer.execute("ALTER TABLE outbox DROP COLUMN traceparent")
    assert "outbox lacks traceparent" in (await errors(pair))["tables"]
    await pair.producer.execute("DROP TABLE inbox_parked")
    assert "there is no table inbox_parked" in (await errors(pair))["tables"]


async def test_too_few_partitions_ahead_are_an_error(pair: Pair) -> None:
    days = await pair.producer.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'outbox'::regclass ORDER BY 1"
    )
    for (name,) in days[4:]:
        await pair.producer.execute(f"DROP TABLE {name}")
    assert "only 3 more days" in (await errors(pair))["partitions"]
    for (name,) in days[:4]:
        await pair.producer.execute(f"DROP TABLE {name}")
    assert "none for today" in (await errors(pair))["partitions"]


@pytest.mark.parametrize(
    ("argument", "value", "sentence"),
    [
        ("x-delivery-limit", 20, "x-delivery-limit is 20, not 1000000: a low limit"),
        ("x-single-active-consumer", True, "x-single-active-consumer is true, not none: with it"),
        ("x-dead-letter-strategy", "at-most-once", "x-dead-letter-strategy is at-most-once"),
    ],
)
async def test_a_queue_with_other_arguments_is_named_with_the_argument(
    pair: Pair, argument: str, value: object, sentence: str
) -> None:
    async with pair.producer.broker(declare=False) as channel:
        arguments = {**queue_arguments(QUEUE), argument: value}
        await channel.declare_queue(QUEUE, durable=True, arguments=arguments)
    found = await pair.say("doctor", "--json", *APP, status=1)
    says = [f["says"] for f in found.json["findings"] if f["check"] == f"queue {QUEUE}"]
    assert any(entry.startswith(sentence) for entry in says), says


async def test_an_unbound_queue_is_named(pair: Pair) -> None:
    async with pair.producer.broker() as channel:
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.unbind(EXCHANGE, "order.#")
    assert (await errors(pair, *APP))[
        "bindings"
    ] == f"{QUEUE} is not bound to {EXCHANGE} by order.#"


async def test_what_hides_a_missing_binding_beside_stream_queues_is_named(pair: Pair) -> None:
    pair.producer.topology = AUDITED
    async with pair.producer.broker() as channel:
        shop = await channel.get_exchange(EXCHANGE, ensure=False)
        await shop.unbind(entry_of(EXCHANGE), "#")
        await shop.publish(Message(b"{}"), "stray.happened")
        await (await channel.declare_queue("tap", exclusive=True)).bind(EXCHANGE, "#")
        app = ("--app", "kit.outbox.topology:AUDITED")
        said = await pair.say("doctor", "--json", *app, status=1)
    found = {(f["check"], f["level"], f["says"]) for f in said.json["findings"]}
    lost = f"{EXCHANGE} is not bound to {entry_of(EXCHANGE)}: no queue gets its events"
    hides = f"tap is bound to {EXCHANGE} by #, which hides missing bindings of others"
    assert ("bindings", "error", lost) in found
    assert ("bindings", "warning", hides) in found
    waits = "1 event reached no queue: a binding is missing"
    assert (f"queue {unrouted_of(EXCHANGE)}", "error", waits) in found


async def test_an_exchange_of_an_earlier_release_is_named(pair: Pair) -> None:
    async with pair.producer.broker():
        said = await pair.say("doctor", "--json", "--app", "kit.outbox.topology:AUDITED", status=1)
    found = {f["check"]: f["says"] for f in said.json["findings"]}
    assert found[f"exchange {EXCHANGE}"] == (
        f"alternate-exchange is none, not {unrouted_of(EXCHANGE)}"
    )


async def test_the_brokers_version_and_consumer_timeout_are_shown(pair: Pair) -> None:
    app = ("--app", "kit.outbox.topology:WITH_SETTINGS")
    said = await pair.say("doctor", "--json", *app, status=1)
    found = {f["check"]: (f["level"], f["says"]) for f in said.json["findings"]}
    level, says = found["version"]
    assert level == "ok"
    assert re.fullmatch(r"RabbitMQ \d+\.\d+\.\d+.*; 3\.10 and 4\.0 were tested", says)
    _, says = found["consumer timeout"]
    assert says.startswith(f"{QUEUE}: a delivery waits for its ack for up to ")
    assert "the consumer timeout is 1800 s (RabbitMQ's default" in says


async def test_without_settings_the_consumer_timeout_is_skipped(pair: Pair) -> None:
    app = ("--app", "kit.outbox.topology:APPLICATION")
    said = await pair.say("doctor", "--json", *app, status=1)
    [level] = [f["level"] for f in said.json["findings"] if f["check"] == "consumer timeout"]
    assert level == "skipped"


async def test_a_consumer_says_once_which_broker_it_has(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "outbox")
    consumer = pair.consumer.consumer(record, prefetch=1000)
    for _ in range(2):
        async with running(consumer):
            await eventually(lambda: is_running(consumer))
    [line] = [said for said in caplog.messages if "the broker is RabbitMQ" in said]
    assert re.match(rf"{QUEUE}: the broker is RabbitMQ \d+\.\d+\.\d+.*; a delivery waits", line)


async def is_running(consumer: Consumer) -> bool:
    return consumer.running


async def test_stuck_events_are_named(pair: Pair) -> None:
    await pair.producer.emit(Happened("a"), Happened("b"))
    await pair.producer.execute(
        "UPDATE outbox SET attempts = 1, last_error = 'returned' WHERE aggregate_id = 'a'"
    )
    assert "1 of order.happened backed off: returned" in (await errors(pair))["backlog"]


async def test_an_app_that_cannot_be_found_is_status_2(pair: Pair) -> None:
    for where in (
        "nowhere:TOPOLOGY",
        "kit.outbox.topology:NOTHING",
        "kit.outbox.topology:NOT_ONE",
        "x:TOPOLOGY",
    ):
        await pair.say("doctor", "--app", where, status=2)


async def test_an_app_without_a_name_is_told_how_it_is_written(pair: Pair) -> None:
    said = await pair.say("doctor", "--app", "kit.outbox.topology", status=2)
    assert said.err == (
        "outbox: --app kit.outbox.topology: say in which variable or function of it: MODULE:NAME\n"
    )


async def test_a_function_may_name_the_topology(pair: Pair) -> None:
    assert f"queue {QUEUE}" in await errors(pair, "--app", "kit.outbox.topology:topology")


async def test_without_a_management_url_bindings_are_skipped(pair: Pair) -> None:
    said = await pair.say("doctor", *APP, "--management-url", "http://127.0.0.1:1", status=1)
    assert "skipped" in said.out
    await pair.say("doctor", *APP, "--management-url", "ftp://127.0.0.1", status=2)


async def test_a_parked_type_without_a_handler_is_named_with_a_fix(pair: Pair) -> None:
    handlers: HandlersByType = {"order.happened": record}
    [first, second, third] = events(3)
    unknown = [replace(event, type="order.payed") for event in (second, third)]
    await Inbox(QUEUE, handlers, pair.consumer.work).handle([first, *unknown])
    now = await handlers_said(pair, "kit.outbox.topology:APPLICATION")
    assert now["level"] == "error"
    assert f"{QUEUE}: order.payed has no handler: 1 event is parked since" in now["says"]
    assert f'add "order.payed" to the handlers of {QUEUE}, or as outbox.ignore' in now["fix"]
    later = await handlers_said(pair, "kit.outbox.topology:LATER")
    assert later["level"] == "warning"
    assert "is handled here, and 1 event is unhandled" in later["says"]
    assert "start this application's consumer" in later["fix"]
    said = await pair.at_consumer("status", status=1)
    assert "unhandled" in said.out


async def test_a_type_that_will_be_unhandled_is_named_before_it_is_retried(pair: Pair) -> None:
    [_, second] = events(2)
    handlers: HandlersByType = {"order.happened": record}
    await Inbox(QUEUE, handlers, pair.consumer.work).handle([replace(second, type="order.payed")])
    found = await handlers_said(pair, "kit.outbox.topology:APPLICATION")
    assert "1 event that waits will be parked or skipped" in found["says"]
    found = await handlers_said(pair, "kit.outbox.topology:LATER")
    assert found["says"] == "no parked type lacks a handler"


async def test_an_app_that_raises_is_one_line_and_status_2(pair: Pair) -> None:
    said = await pair.say("doctor", "--app", "kit.outbox.topology:raises", status=2)
    assert said.err.startswith("outbox: --app kit.outbox.topology:raises: RuntimeError: not now")


async def handlers_said(pair: Pair, app: str) -> dict[str, str]:
    """The one finding about handlers. The missing relay is another error."""
    url = pair.consumer.database_url
    words = ("doctor", "--json", "--app", app, "--database-url", url)
    said = await pair.say(*words, status=1)
    [found] = [one for one in said.json["findings"] if one["check"] == "handlers"]
    return dict(found)


async def test_a_queue_that_two_databases_consume_is_named(pair: Pair) -> None:
    one, other = pair.producer.consumer(record), pair.consumer.consumer(record)

    async def is_named() -> bool:
        found = await pair.say("doctor", "--json", *APP, status=1)
        return f"queue {QUEUE} is consumed into 2 databases: all but one get nothing" in [
            f"{one['check']} {one['says']}" for one in found.json["findings"]
        ]

    async with running(one, other):
        await eventually(is_named)


async def test_two_processes_of_one_service_are_fine(pair: Pair) -> None:
    management = Management(management_url(), pair.producer.broker_url)

    async def both_are_listed() -> bool:
        tags = await asyncio.to_thread(management.consumer_tags)
        return len({tag for queue, tag in tags if queue == QUEUE}) == 2

    async with running(*(pair.consumer.consumer(record) for _ in range(2))):
        await eventually(both_are_listed)
        found = await pair.say("doctor", "--json", *APP, status=1)
    says = [one["says"] for one in found.json["findings"] if one["check"] == f"queue {QUEUE}"]
    assert not [said for said in says if "databases" in said]
