"""The two kinds of process: one that answers requests, one that works in the background.

Both begin alike: bind the port, reach the database, find the schema at head, log in to the broker
if it is there. Only then is anything built, and only after that does the port answer.
"""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI

from outbox import BackgroundService, Consumer, Relay
from servicekit.database.engine import ensure_reachable
from servicekit.database.migrations import ensure_current, upgrade
from servicekit.database.probe import DatabaseProbe
from servicekit.http.access_rules import AccessRules
from servicekit.http.app import create_app
from servicekit.http.operations import mount_operations
from servicekit.observe import logs
from servicekit.observe.health import Check, Health, Paused
from servicekit.observe.metrics import showing_background_services
from servicekit.process.broker import BrokerProbe, refuse_bad_credentials
from servicekit.process.entrypoint import stop_on_signals
from servicekit.process.former_names import unread_variables
from servicekit.process.parent import inherited_listener
from servicekit.process.server import bind, serve
from servicekit.process.settings import ServiceSettings
from servicekit.process.urls import PostgresUrl

__all__ = [
    "Foundation",
    "Service",
    "api_health",
    "ensure_database",
    "foundation",
    "migrate",
    "run_services",
]


logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Service:
    """What is the same in every process of a service."""

    name: str
    version: str
    ini: Path
    database_variable: str

    @property
    def short_name(self) -> str:
        """The name as make targets use it: `orders` for `service-orders`."""
        return self.name.removeprefix("service-")


class ServiceIsDown(Exception):
    """A background service has lost a connection and tries to get it back."""


class TypesWait(Exception):
    """Events of these types are not handled now; other types are."""


class BindingsMissing(Exception):
    """These queues do not get their events; others do."""


class EventsAreMissing(Exception):
    """Events got lost and do not come by themselves; others go on."""


@dataclass(frozen=True)
class Foundation:
    """What a process stands on, once everything it needs was checked."""

    service: Service
    listener: socket.socket
    port_variable: str
    probe: DatabaseProbe
    stop: asyncio.Event
    access: AccessRules

    async def serve(self, app: FastAPI, *, grace: float = 5) -> None:
        """Answer requests until told to stop."""
        gc.collect()
        gc.freeze()  # what was built stays, so no collection has to visit it
        await serve(app, self.listener, stop=self.stop, variable=self.port_variable, grace=grace)


async def migrate(
    service: Service, settings: ServiceSettings, url: PostgresUrl, variable: str
) -> None:
    """Bring the schema to head, as the owner of the tables; errors name `variable`."""
    logs.configure(service.name, settings.log_level, settings.log_format)
    await asyncio.to_thread(upgrade, url, service.ini, variable=variable)


@asynccontextmanager
async def foundation(
    service: Service, settings: ServiceSettings, url: PostgresUrl, port: int, port_variable: str
) -> AsyncIterator[Foundation]:
    """Check everything a process needs; raise StartupProblem with one line about what is wrong."""
    logs.configure(service.name, settings.log_level, settings.log_format)
    for sentence in unread_variables():
        logger.warning("setting_not_read", reason=sentence)
    stop = stop_on_signals()
    listener = inherited_listener(stop) or bind(settings.http_host, port, variable=port_variable)
    probe = DatabaseProbe(url, service.ini)
    try:
        await ensure_database(service, url)
        await refuse_bad_credentials(settings.rabbitmq_url, variable="RABBITMQ_URL")
        yield Foundation(service, listener, port_variable, probe, stop, settings.access)
    finally:
        await probe.aclose()
        listener.close()


async def ensure_database(service: Service, url: PostgresUrl) -> None:
    """Raise StartupProblem with one line unless the database is there and its schema at head."""
    await ensure_reachable(url, variable=service.database_variable)
    command = f"make migrate-{service.short_name}"
    await ensure_current(url, service.ini, variable=service.database_variable, command=command)


def api_health(base: Foundation, broker: BrokerProbe, **tolerated: Check) -> Health:
    """An API answers requests while the broker is away, but not without its database.

    `tolerated` are further checks that it works without.
    """
    return Health(
        {
            "database": base.probe.database,
            "broker": broker.check,
            "migrations": base.probe.migrations,
            **tolerated,
        },
        tolerated=("broker", *tolerated),
    )


async def run_services(
    base: Foundation,
    services: Mapping[str, BackgroundService],
    *,
    operations: FastAPI | None = None,
) -> None:
    """Run background services and report their health, until told to stop or one of them ends.

    `operations` are the HTTP operations, answered below `/ops`.
    """
    checks = {name: _check(service) for name, service in services.items()}
    consumers = {name: one for name, one in services.items() if isinstance(one, Consumer)}
    tolerated = {
        **{f"{name} types": _check_types(one) for name, one in consumers.items()},
        **{f"{name} events": _check_events(one) for name, one in consumers.items()},
    }
    bindings = {
        f"{name} bindings": _check_bindings(service)
        for name, service in services.items()
        if isinstance(service, Relay)
    }
    own = {"database": base.probe.database, "migrations": base.probe.migrations}
    health = Health({**own, **checks, **tolerated, **bindings}, tolerated={*tolerated, *bindings})
    app = create_app(
        title=f"{base.service.name} worker",
        version=base.service.version,
        description="Health and metrics of the process that relays and consumes.",
        health=health,
        access=base.access,
    )
    if operations is not None:
        mount_operations(app, operations)
    running = {name: partial(_runs, service) for name, service in services.items()}
    with showing_background_services(running):
        async with asyncio.TaskGroup() as group:
            for service in services.values():
                group.create_task(service.run(base.stop))
            group.create_task(base.serve(app, grace=1))


def _runs(service: BackgroundService) -> bool:
    return service.running


def _check_types(consumer: Consumer) -> Check:
    async def check() -> None:
        if consumer.tripped_types:
            raise TypesWait(", ".join(consumer.tripped_types))
        if consumer.paused_types:
            raise Paused

    return check


def _check_bindings(relay: Relay) -> Check:
    async def check() -> None:
        if relay.unbound_queues:
            raise BindingsMissing(", ".join(relay.unbound_queues))

    return check


def _check_events(consumer: Consumer) -> Check:
    async def check() -> None:
        if consumer.lost:
            raise EventsAreMissing(", ".join(consumer.lost))

    return check


def _check(service: BackgroundService) -> Check:
    async def check() -> None:
        if not _runs(service):
            raise ServiceIsDown
        if isinstance(service, Consumer | Relay) and service.is_paused:
            raise Paused

    return check
