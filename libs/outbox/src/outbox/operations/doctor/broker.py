"""Whether the broker is as the application's topology declares it. Nothing is created or changed.

AMQP says whether a queue exists. A queue that exists is declared once more: if an
argument differs, the broker refuses and names it. Only the management API shows bindings.

One file, because it is the one list of what a broker should have.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from outbox.addresses import Broker
from outbox.errors import BrokerRefused
from outbox.inbox.unacked import CONSUMER_TIMEOUT, Unacked
from outbox.losses import broker_lost, one_line
from outbox.operations.doctor.findings import Finding, error, ok, skipped, warning
from outbox.plural import counted
from outbox.rabbitmq.beacons import BEACONS
from outbox.rabbitmq.broker_version import TESTED, trouble_with, version_of
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.consumer_tags import database_in
from outbox.rabbitmq.management_api import Management, ManagementFailed
from outbox.rabbitmq.queue_depths import declared
from outbox.rabbitmq.topology import (
    DEAD_LETTERS,
    Topology,
    dead_letters_of,
    unrouted_of,
)
from outbox.worker import Application

Bindings = Collection[tuple[str, str, str]]
START = "start a worker, which declares everything; if one runs, look at its log"
_WHY = {
    "x-queue-type": "only a quorum queue keeps what it confirmed when a node is lost",
    "x-single-active-consumer": "with it only one process at a time gets deliveries",
    "x-delivery-limit": "a low limit also drops what was prefetched beside a failing event",
    "x-dead-letter-exchange": "messages that cannot be read would be dropped",
    "x-dead-letter-strategy": "dead letters would be lost with a node",
    "x-overflow": "at-least-once dead lettering needs reject-publish",
}


async def check_broker(
    broker_url: Broker, application: Application, management: Management | None = None
) -> list[Finding]:
    """Version, exchanges, queues with arguments and consumers, dead letters, bindings, alarms."""
    topology = application.topology
    try:
        connection = await connect(broker_url, "outbox doctor")
    except BrokerRefused as problem:
        return [error("broker", str(problem), "check user, password and virtual host")]
    except Exception as problem:
        if not broker_lost(problem):
            raise
        fix = "start RabbitMQ, or check the URL"
        return [error("broker", f"cannot be reached: {one_line(problem)}", fix)]
    async with connection:
        found = [ok("broker", "accepts connections"), _version(version_of(connection), topology)]
        for exchange in topology.exchanges:
            found += await _exchanges(connection, topology, exchange)
        for exchange in (DEAD_LETTERS, BEACONS):
            found.append(await _exchange(connection, exchange, ExchangeType.DIRECT))
        for queue in topology.queues:
            found += await _queue(connection, topology, queue)
    found += [_timeout(application, queue, management) for queue in application.queues]
    return [*found, *_bindings(topology, management)]


def _version(version: str, topology: Topology) -> Finding:
    trouble = trouble_with(version, single_active=bool(topology.single_active_consumers))
    if trouble is None:
        return ok("version", f"RabbitMQ {version}; {TESTED} were tested")
    says = f"RabbitMQ {version} {trouble.says}" if version else f"the broker {trouble.says}"
    return (error if trouble.breaks else warning)("version", says, trouble.fix)


def _timeout(application: Application, queue: str, management: Management | None) -> Finding:
    """Whether the broker may lose patience with the consumer of this queue."""
    if application.consumer_settings is None:
        why = f"{queue}: the application does not name the settings of its consumers"
        fix = "Application(…, consumer_settings=…); a consumer checks its own at its start"
        return skipped("consumer timeout", why, fix)
    timeout, whose = None, "RabbitMQ's default: nothing shows whether rabbitmq.conf changes it"
    if management:
        with suppress(ManagementFailed):  # `bindings` says it
            timeout = management.consumer_timeout(queue)
    if timeout:
        whose = "of the queue's policy"
    unacked = Unacked.of(application.queues[queue], application.consumer_settings)
    says = f"{queue}: {unacked.says(timeout or CONSUMER_TIMEOUT, whose)}"
    if unacked.exceeds(timeout or CONSUMER_TIMEOUT):
        fix = "lower prefetch or time_limit, or raise the broker's consumer_timeout"
        return warning("consumer timeout", says, f"{fix}: else events may be handled for nothing")
    return ok("consumer timeout", says)


async def _exchanges(
    connection: AbstractConnection, topology: Topology, name: str
) -> list[Finding]:
    """An exchange and, where there are stream queues, what is before and behind it."""
    arguments = topology.exchange_arguments(name)
    found = [await _exchange(connection, name, ExchangeType.TOPIC, arguments)]
    if topology.stream_queues:
        found.append(await _exchange(connection, topology.entry(name), ExchangeType.TOPIC))
        found.append(await _exchange(connection, unrouted_of(name), ExchangeType.FANOUT))
        found.append(await _unrouted(connection, name))
    return found


async def _unrouted(connection: AbstractConnection, exchange: str) -> Finding:
    queue = unrouted_of(exchange)
    check = f"queue {queue}"
    ready, consumers = await declared(connection, queue)
    if ready is None:
        return error(check, "does not exist: a missing binding goes unnoticed", START)
    if ready:
        says = f"{counted(ready, 'event', 'events')} reached no queue: a binding is missing"
        return (warning if consumers else error)(
            check, says, "a relay declares it again: start one"
        )
    return ok(check, "every event reached a queue that subscribes to it")


async def _exchange(
    connection: AbstractConnection,
    name: str,
    kind: ExchangeType,
    arguments: dict[str, Any] | None = None,
) -> Finding:
    check = f"exchange {name}"
    async with connection.channel() as channel:
        try:
            await channel.declare_exchange(name, passive=True)
        except ChannelNotFoundEntity:
            return error(check, "does not exist", START)
        except ChannelAccessRefused:
            return skipped(check, "this user may not look at it", "use one with more rights")
        try:
            await channel.declare_exchange(name, kind, durable=True, arguments=arguments)
        except ChannelPreconditionFailed as problem:
            return error(check, _inequivalent(problem), "delete it and start a worker")
        except ChannelAccessRefused:
            return skipped(check, "this user may not declare it", "use the services' own user")
    return ok(check, f"durable, {kind.value}")


async def _queue(connection: AbstractConnection, topology: Topology, name: str) -> list[Finding]:
    check = f"queue {name}"
    ready, consumers = await declared(connection, name)
    dead, _ = await declared(connection, dead_letters_of(name))
    if ready is None:
        return [error(check, "does not exist: its events are returned", START)]
    found = [await _arguments(connection, topology, name)]
    if not consumers:
        says = f"it has no consumer; {counted(ready, 'message waits', 'messages wait')}"
        found.append(error(check, says, "start a worker or a consumer of it"))
    if dead is None:
        found.append(error(check, f"{dead_letters_of(name)} does not exist", START))
    elif dead:
        belong = counted(dead, "message belongs", "messages belong")
        says = f"{belong} to no stream and wait in {dead_letters_of(name)}"
        found.append(warning(check, says, "look at them in the management UI to find their sender"))
    return found


async def _arguments(connection: AbstractConnection, topology: Topology, name: str) -> Finding:
    check = f"queue {name}"
    async with connection.channel() as channel:
        try:
            arguments = topology.queue_arguments(name)
            await channel.declare_queue(name, durable=True, arguments=arguments)
        except (ChannelPreconditionFailed, ChannelLockedResource) as problem:
            wrong = _inequivalent(problem)
            why = next((text for argument, text in _WHY.items() if argument in wrong), "")
            says = f"{wrong}: {why}" if why else wrong
            return error(check, says, f"run `outbox queues migrate {name}`")
        except ChannelAccessRefused:
            return skipped(check, "this user may not declare it", "use the services' own user")
    return ok(check, "quorum, delivery limit and dead letters as declared")


def _inequivalent(problem: Exception) -> str:
    """The broker names the first argument that differs, with both values."""
    said = str(problem).strip().partition("\n")[0]
    value = r"(?:the value )?'?([^']*?)'?(?: of type '[^']*')?"
    found = re.search(rf"arg '([^']+)' .*received {value} but current is {value}$", said)
    return f"{found[1]} is {found[3]}, not {found[2]}" if found else said


def _bindings(topology: Topology, management: Management | None) -> list[Finding]:
    if management is None:
        why = "AMQP does not show bindings"
        return [skipped("bindings", why, "give --management-url")]
    try:
        bound = management.bindings()
        behind = management.bindings(to="exchange")
        alarms = management.alarms()
        tags = management.consumer_tags()
    except ManagementFailed as problem:
        return [skipped("bindings", str(problem), "give a user with the tag monitoring")]
    missing = [
        error("bindings", f"{queue} is not bound to {exchange} by {key}", START)
        for queue in topology.queues
        for exchange, key in topology.bindings_of(queue)
        if (exchange, queue, key) not in bound
    ]
    missing += [
        error("bindings", f"{queue}: {dead_letters_of(queue)} is not bound", START)
        for queue in topology.queues
        if (DEAD_LETTERS, dead_letters_of(queue), queue) not in bound
    ]
    missing += _entry_bindings(topology, bound, behind)
    found = missing or [ok("bindings", "every subscription is bound")]
    found += [error("broker", alarm, "free memory or disk") for alarm in alarms]
    return [*found, *(finding for queue in topology.queues for finding in _databases(queue, tags))]


def _entry_bindings(topology: Topology, bound: Bindings, behind: Bindings) -> list[Finding]:
    """Of what makes a missing binding known beside stream queues: see decision 1801."""
    found: list[Finding] = []
    for exchange in topology.exchanges if topology.stream_queues else ():
        entry, unrouted = topology.entry(exchange), unrouted_of(exchange)
        if (entry, exchange, "#") not in behind:
            says = f"{exchange} is not bound to {entry}: no queue gets its events"
            found.append(error("bindings", says, START))
        if (unrouted, unrouted, "") not in bound:
            says = f"queue {unrouted} is not bound: a missing binding goes unnoticed"
            found.append(error("bindings", says, START))
        found += [
            error("bindings", f"{stream_queue} is not bound to {entry}", START)
            for stream_queue in topology.stream_queues
            if (entry, stream_queue, "#") not in bound
        ]
        found += [
            warning(
                "bindings",
                f"{queue} is bound to {exchange} by #, which hides missing bindings of others",
                f"bind it to {entry} instead",
            )
            for source, queue, key in sorted(bound)
            if (source, key) == (exchange, "#")
        ]
    return found


def _databases(queue: str, tags: Sequence[tuple[str, str]]) -> list[Finding]:
    """Several services that consume one queue; several processes of one service are fine."""
    databases = {database_in(tag) for name, tag in tags if name == queue} - {None}
    if len(databases) < 2:
        return []
    says = f"is consumed into {len(databases)} databases: all but one get nothing"
    return [
        error(f"queue {queue}", says, "give each service a queue and a subscription of its own")
    ]
