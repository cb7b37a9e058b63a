"""The only place that constructs things. Importing it connects to nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from contracts import AUDIT, AUDIT_KEPT, EXCHANGES, SUBSCRIPTIONS
from contracts.subscriptions import ORDERS
from outbox import (
    Application,
    ConsumerSettings,
    Maintenance,
    Part,
    Topology,
    Work,
    build_worker,
    open_work,
)
from outbox.postgres.day_partitions import OUTBOX
from service_orders import NAME, VERSION
from service_orders.domains import DOMAINS
from service_orders.domains.rentals.external import Externals
from service_orders.domains.rentals.housekeeping import OfferHousekeeping, days_of_rentals
from service_orders.domains.rentals.offer_issuer import OfferIssuer
from service_orders.domains.rentals.offers import Signer
from service_orders.domains.restaurants.service import KnownZones
from service_orders.metadata import outbox
from service_orders.settings import DATABASE_VARIABLE, DEVELOPMENT_KEY, OWNER_VARIABLE, Settings
from service_orders.waiting import SETTLED
from servicekit.cache.redis_store import RedisStore
from servicekit.database.engine import create_engine, ensure_reachable
from servicekit.http.access_rules import AccessRules
from servicekit.http.app import KEY_LIFETIME, ServiceApp, create_app
from servicekit.http.client import open_client
from servicekit.http.idempotency_expiry import KeyExpiry
from servicekit.http.long_polling import Waiters
from servicekit.observe import trace
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics
from servicekit.process import runtime
from servicekit.process.broker import BrokerProbe
from servicekit.process.runtime import (
    Foundation,
    Service,
    api_health,
    foundation,
    run_parts,
)
from servicekit.process.settings import load
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl

log = logging.getLogger(__name__)

SERVICE = Service(NAME, VERSION, Path(__file__).parents[2] / "alembic.ini", DATABASE_VARIABLE)
TOPOLOGY = Topology([exchange.name for exchange in EXCHANGES], SUBSCRIPTIONS, {AUDIT: AUDIT_KEPT})


async def migrate() -> None:
    """Bring the schema to head, and the log's partitions to the days that are to come."""
    settings = load(Settings)
    await runtime.migrate(SERVICE, settings, *_owner(settings))
    async with _work(settings, "migrate"):
        pass


async def api() -> None:
    """Answer requests until told to stop; the broker may be away."""
    settings = load(Settings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            _foundation(settings, settings.orders_port, "ORDERS_PORT")
        )
        work = await stack.enter_async_context(_work(settings, "api"))
        broker = await stack.enter_async_context(
            BrokerProbe(settings.rabbitmq_url, name=f"{NAME} api health")
        )
        waiters = await stack.enter_async_context(
            Waiters(settings.database_url, SETTLED, stop=base.stop)
        )
        app = build_app(
            work,
            waiters,
            api_health(base, broker, waiting=waiters.check),
            key_lifetime=settings.key_lifetime,
            booking_limit=settings.booking_limit,
            access=base.access,
            offer_issuer=await stack.enter_async_context(_offer_issuer(settings)),
        )
        if settings.redis_url is not None:
            app.state.cache = await stack.enter_async_context(RedisStore(settings.redis_url))
        await base.serve(app)


def build_app(
    work: Work,
    waiters: Waiters,
    health: Health | None = None,
    metrics: HttpMetrics | None = None,
    *,
    key_lifetime: timedelta = KEY_LIFETIME,
    booking_limit: timedelta = timedelta(days=730),
    access: AccessRules | None = None,
    offer_issuer: OfferIssuer | None = None,
) -> ServiceApp:
    """The HTTP application with the routes of all domains."""
    app = create_app(
        title=NAME,
        version=VERSION,
        description="Place orders, book tables, open tickets, rent scooters, and watch them.",
        routers=[domain.router for domain in DOMAINS if domain.router],
        problems={error: spec for domain in DOMAINS for error, spec in domain.problems.items()},
        health=health,
        metrics=metrics,
        key_lifetime=key_lifetime,
        access=access,
    )
    app.state.work, app.state.waiters, app.state.cache = work, waiters, None
    app.state.zones, app.state.booking_limit = KnownZones(work), booking_limit
    app.state.offer_issuer = offer_issuer
    return app


def application() -> Application:
    """What `outbox doctor --app` compares with."""
    return Application(TOPOLOGY, {d.queue: d.handlers for d in DOMAINS if d.queue})


async def work(*names: str) -> None:
    """Run these parts of the worker until told to stop."""
    settings = load(Settings)
    async with (
        _foundation(settings, settings.orders_worker_port, "ORDERS_WORKER_PORT") as base,
        _work(settings, "worker") as units,
        _maintenance(settings) as maintenance,
    ):
        parts = build_worker(
            database_url=settings.database_url,
            broker_url=settings.rabbitmq_url,
            exchange=ORDERS.name,
            topology=TOPOLOGY,
            work=units,
            queues=application().queues,
            settings=ConsumerSettings(senders=settings.senders),
        )
        parts |= maintenance
        parts["maintenance keys"] = KeyExpiry(units.engine)
        parts["maintenance offers"] = OfferHousekeeping(units.engine)
        chosen = {name: part for name, part in parts.items() if name.split()[0] in names}
        await run_parts(base, chosen)


def _foundation(
    settings: Settings, port: int, variable: str
) -> AbstractAsyncContextManager[Foundation]:
    return foundation(SERVICE, settings, settings.database_url, port, variable)


def _owner(settings: Settings) -> tuple[PostgresUrl, str]:
    """Where the owner of the tables logs in, and the variable that says so."""
    if settings.database_owner_url is None:
        return settings.database_url, DATABASE_VARIABLE
    return settings.database_owner_url, OWNER_VARIABLE


@asynccontextmanager
async def _maintenance(settings: Settings) -> AsyncIterator[dict[str, Part]]:
    """By the owner; raises StartupProblem where a table with days cannot be written today."""
    url, variable = _owner(settings)
    await ensure_reachable(url, variable=variable)
    engine = create_engine(url, application_name=f"{NAME} maintenance", pool_size=2)
    try:
        days = (OUTBOX, days_of_rentals(settings.rental_retention_days))
        parts = {one.table: Maintenance(engine, one) for one in days}
        for table, maintenance in parts.items():
            if not await maintenance.prepare():
                raise StartupProblem(
                    f"the {table} at {url.place} has no partition for today and none could be"
                    f" made: run `make migrate-orders` (see {variable})"
                )
        yield {"maintenance": parts["outbox"], "maintenance rentals": parts["rentals"]}
    finally:
        await engine.dispose()


@asynccontextmanager
async def _work(settings: Settings, role: str) -> AsyncIterator[Work]:
    """Units of work on a log that can be written today."""
    async with _maintenance(settings):
        pass
    engine = create_engine(settings.database_url, application_name=f"{NAME} {role}")
    async with open_work(
        engine, settings.database_url, outbox, traceparent=trace.traceparent
    ) as units:
        yield units


@asynccontextmanager
async def _offer_issuer(settings: Settings) -> AsyncIterator[OfferIssuer]:
    """What makes offers, with its external systems."""
    keys = settings.signing_keys
    if DEVELOPMENT_KEY in keys:
        log.warning("offers are signed with the development key; set OFFER_SIGNING_KEY")
    async with open_client(settings.external_base_url) as http:
        externals = Externals(http)
        async with externals.refreshing():
            yield OfferIssuer(externals, Signer(keys) if keys else None, settings.offer_ttl)
