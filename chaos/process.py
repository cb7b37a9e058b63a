"""One relay or one consumer of a side, as a process of its own.

`CHAOS_BREAK` breaks the inbox on purpose, so that a test can show that the checker notices.
`CHAOS_SILENT` makes the kitchen answer nothing. `CHAOS_BEACONS=off` is a relay that knows none.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import create_async_engine

from chaos.scenario import (
    EXITS,
    RAISES,
    SIDES,
    TOPOLOGY,
    WRITE,
    Event,
    Side,
    with_driver,
)
from outbox import (
    CircuitBreaker,
    Consumer,
    ConsumerSettings,
    Envelope,
    Handler,
    HandlersByType,
    Outbox,
    Relay,
    RelaySettings,
    Retry,
    UnitOfWork,
    failpoints,
    open_work,
    resend_handlers,
)
from outbox.inbox import searcher
from outbox.inbox.position import Decision, Position

_EFFECT = "INSERT INTO effects (token, aggregate_id) VALUES (%(token)s, %(aggregate)s)"
_MENDED = "SELECT FROM mended WHERE token = %(token)s"
_OUTAGE = "SELECT FROM outages WHERE ends_at > clock_timestamp()"


class Poisoned(Exception):
    """The handler fails until the event is listed in `mended`."""


class Away(Exception):
    """What the handlers of all events need is away for a while."""


async def relay(side: Side, database_url: str, broker_url: str, stop: asyncio.Event) -> None:
    await Relay(
        database_url=database_url,
        broker_url=broker_url,
        exchange=side.name,
        topology=TOPOLOGY,
        settings=RelaySettings(
            window=20,
            topology_check=2,
            rescan_interval=1,
            beacon_every=0 if os.environ.get("CHAOS_BEACONS") == "off" else 2,
        ),
    ).run(stop)


async def consumer(side: Side, database_url: str, broker_url: str, stop: asyncio.Event) -> None:
    """Of both queues of a side."""
    events, requests = side.subscriptions
    handlers: dict[str, HandlersByType] = {
        events.queue: {side.event_type: handler_of(side)},
        requests.queue: resend_handlers(requests),
    }
    engine = create_async_engine(with_driver(database_url))
    async with open_work(engine, database_url, Outbox(side.name)) as work:
        consumers = (
            Consumer(
                queue=queue,
                handlers=handlers[queue],
                work=work,
                broker_url=broker_url,
                topology=TOPOLOGY,
                settings=settings_of(side),
            )
            for queue in handlers
        )
        await asyncio.gather(*(one.run(stop) for one in consumers))


def settings_of(side: Side) -> ConsumerSettings:
    return ConsumerSettings(
        batch=20,
        prefetch=50,
        retry_every=0.2,
        failures={
            Exception: Retry(base=0.1, ceiling=0.5, deadline=0.3),
            Away: Retry(base=0.1, ceiling=0.5, deadline=None),
        },
        breaker=CircuitBreaker(base=0.2, ceiling=1),
        topology_check=2,
        crashes=int(os.environ.get("CHAOS_CRASHES") or 3),
        resend=(side.source,),
        missing_after=float(os.environ.get("CHAOS_MISSING_AFTER") or 2),
    )


def handler_of(side: Side) -> Handler:
    """Writes the effect. The kitchen emits its answer in the same transaction."""

    async def handle(unit: UnitOfWork, event: Envelope) -> None:
        body = json.loads(event.payload)
        await fail_in_outage(unit)
        await fail_if_poisoned(unit, body)
        aggregate = event.stream.aggregate_id
        await unit.send(_EFFECT, {"token": body["token"], "aggregate": aggregate})
        if side.name == "kitchen" and not os.environ.get("CHAOS_SILENT"):
            answer = Event(side.aggregate_type, aggregate, event.sequence)
            await unit.send(WRITE, answer.row)
            await unit.emit(answer)

    return handle


async def fail_in_outage(unit: UnitOfWork) -> None:
    outage = await unit.connection.exec_driver_sql(_OUTAGE)
    if outage.first() is not None:
        raise Away


async def fail_if_poisoned(unit: UnitOfWork, body: dict[str, str]) -> None:
    if not body["kind"]:
        return
    mended = await unit.connection.exec_driver_sql(_MENDED, {"token": body["token"]})
    if mended.first() is not None:
        return
    if body["kind"] == EXITS:
        os._exit(3)
    assert body["kind"] == RAISES
    raise Poisoned(body["token"])


def break_inbox(how: str) -> None:
    """Patch the decision: `dedupe` applies duplicates, `order` ignores order, `gap` skips gaps."""
    right, forward = Position.decide, Position.advance

    def wrong(position: Position, sequence: int, event_id: UUID) -> Decision:
        verdict = right(position, sequence, event_id)
        broken = {
            "dedupe": verdict is Decision.DUPLICATE,
            "order": sequence != position.last_sequence,
            "gap": verdict is Decision.GAP,
        }
        return Decision.APPLY if broken[how] else verdict

    def advance(position: Position, sequence: int, event_id: UUID) -> None:
        if sequence > position.last_sequence:
            forward(position, sequence, event_id)

    setattr(Position, "decide", wrong)  # noqa: B010 mypy would mind the plain assignment
    setattr(Position, "advance", advance)  # noqa: B010


async def main(role: str, name: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    if how := os.environ.get("CHAOS_BREAK"):
        break_inbox(how)
    searcher.ASK_AGAIN, searcher.CEILING = 1.0, 5.0  # a run lasts minutes, not days
    urls = os.environ[f"CHAOS_DATABASE_{name.upper()}"], os.environ["CHAOS_BROKER"]
    body = {"relay": relay, "consumer": consumer}[role]
    await body(SIDES[name], *urls, stop)


def run(role: str, name: str, environment: Mapping[str, str], log: str) -> None:
    """Be this process until it ends. Everything is set before the first line of it runs."""
    os.environ.update(environment)
    importlib.reload(failpoints)  # it read the environment when it was imported
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), sys.stderr.fileno())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(main(role, name))
