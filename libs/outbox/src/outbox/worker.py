"""The background services of a worker, put together the usual way, and what tools need of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.addresses import Broker, Database
from outbox.inbox.consumer import Consumer
from outbox.inbox.event_handlers import Handlers
from outbox.inbox.handlers import HandlersByType
from outbox.inbox.settings import ConsumerSettings
from outbox.jobs.job import JobHandler
from outbox.jobs.settings import JobSettings
from outbox.jobs.worker import JobWorker
from outbox.log.outbox import Outbox
from outbox.log.work import Work
from outbox.postgres.day_partitions import INBOX_APPLIED
from outbox.postgres.notify import Notifier
from outbox.postgres.partition_maintenance import Maintenance
from outbox.postgres.pool_sizes import lacking
from outbox.rabbitmq.topology import Topology
from outbox.relay.relay import Relay
from outbox.relay.settings import RelaySettings

logger = logging.getLogger(__name__)


class BackgroundService(Protocol):
    """Anything that a worker process runs until told to stop.

    `running` says whether it has all its connections.
    """

    @property
    def running(self) -> bool: ...

    async def run(self, stop: asyncio.Event) -> None: ...


def build_worker(
    *,
    database_url: Database,
    broker_url: Broker,
    exchange: str,
    topology: Topology,
    work: Work,
    queues: Mapping[str, HandlersByType],
    jobs: Mapping[str, JobHandler] | None = None,
    relay_settings: RelaySettings | None = None,
    consumer_settings: ConsumerSettings | None = None,
    job_settings: JobSettings | None = None,
) -> dict[str, BackgroundService]:
    """A relay, a consumer for each queue, a job worker if there are handlers of jobs, and the
    maintenance of partitions, by name.

    `consumer_settings` apply to every consumer.
    """
    broker: Any = {"broker_url": broker_url, "topology": topology}
    consuming: Any = {**broker, "work": work, "settings": consumer_settings}
    consumers = {
        f"consumer {queue}": Consumer(queue=queue, handlers=handlers, **consuming)
        for queue, handlers in queues.items()
    }
    _warn_of_small_pool(work, consumers)
    relay = Relay(
        database_url=database_url,
        exchange=exchange,
        settings=relay_settings,
        notifications=work.notifications,
        **broker,
    )
    return {
        "relay": relay,
        **consumers,
        **({"jobs": JobWorker(work, jobs, job_settings)} if jobs else {}),
        **_maintenance(work.engine, consumes=bool(queues)),
    }


def _maintenance(engine: AsyncEngine, *, consumes: bool) -> dict[str, BackgroundService]:
    times = {"maintenance inbox_applied": Maintenance(engine, INBOX_APPLIED)} if consumes else {}
    return {"maintenance": Maintenance(engine), **times}


def _warn_of_small_pool(work: Work, consumers: Mapping[str, Consumer]) -> None:
    needed = sum(consumer.connections for consumer in consumers.values())
    if problem := lacking(work.engine, needed, f"all workers of {len(consumers)} queues together"):
        logger.warning("%s, or workers wait for each other's connections", problem)


@asynccontextmanager
async def open_work(
    engine: AsyncEngine,
    database_url: Database,
    outbox: Outbox,
    *,
    traceparent: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[Work]:
    """Units of work on an engine, with the notifier they need; disposes of the engine."""
    try:
        async with Notifier(database_url) as notifier:
            yield Work(engine, outbox, notifier, traceparent=traceparent)
    finally:
        await engine.dispose()


@dataclass(frozen=True, slots=True)
class Application:
    """What `--app` names: the topology, the handlers of this application by queue, and settings.

    `outbox doctor` compares the handlers with events that are parked as unhandled, and the
    settings of the consumers with the broker's consumer timeout. Raises
    `InvalidSetting` for an event class that is neither handled nor ignored.
    """

    topology: Topology
    queues: Mapping[str, HandlersByType] = field(default_factory=dict)
    consumer_settings: ConsumerSettings | None = None

    def __post_init__(self) -> None:
        for handlers in self.queues.values():
            if isinstance(handlers, Handlers):
                handlers.check()
