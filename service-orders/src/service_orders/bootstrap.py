"""The only place that constructs things. Importing it connects to nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

from contracts import AUDIT, AUDIT_KEPT, EXCHANGES, SUBSCRIPTIONS
from contracts.exchanges import ORDERS
from outbox import Application, Topology, Work
from outbox.postgres.day_partitions import OUTBOX
from service_orders import NAME, VERSION
from service_orders.dependencies import Dependencies
from service_orders.domains import DOMAINS
from service_orders.domains.rentals import repository as rentals
from service_orders.domains.rentals.external import Externals
from service_orders.domains.rentals.finishing import Finisher
from service_orders.domains.rentals.housekeeping import days_of_rentals
from service_orders.domains.rentals.offer_issuer import OfferIssuer
from service_orders.domains.rentals.offers import Signer
from service_orders.domains.rentals.repository import delete_expired_offers
from service_orders.domains.restaurants.service import KnownZones
from service_orders.domains.tickets.cache import StoredTickets
from service_orders.metadata import outbox
from service_orders.settings import DATABASE_VARIABLE, DEVELOPMENT_KEY, Settings
from service_orders.waiting import SETTLED
from servicekit.cache.read_through import ReadThrough, Store
from servicekit.cache.redis_store import RedisStore
from servicekit.database.expiry import Expiry
from servicekit.database.id_allocation import IdBlocks
from servicekit.http.access_rules import AccessRules
from servicekit.http.app import KEY_LIFETIME, ServiceApp, create_app
from servicekit.http.client import open_client
from servicekit.http.long_polling import Waiters
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.runtime import Service, api_health
from servicekit.process.settings import load
from servicekit.service.bootstrap import Api, Role, ServiceBootstrap
from servicekit.service.domain import problems_of, queues_of, routers_of
from servicekit.service.rows import Readers

logger = logging.getLogger(__name__)

SERVICE = Service(NAME, VERSION, Path(__file__).parents[2] / "alembic.ini", DATABASE_VARIABLE)
TOPOLOGY = Topology([exchange.name for exchange in EXCHANGES], SUBSCRIPTIONS, {AUDIT: AUDIT_KEPT})


async def migrate() -> None:
    """Bring the schema to head, and make the partitions of the days to come."""
    await _bootstrap(load(Settings)).migrate()


async def api() -> None:
    """Answer requests until told to stop; the broker may be away."""
    settings = load(Settings)
    await _bootstrap(settings).run_api(
        settings.orders_port, "ORDERS_PORT", partial(_answer, settings)
    )


async def _answer(settings: Settings, base: Api) -> None:
    async with AsyncExitStack() as stack:
        waiters = await stack.enter_async_context(
            Waiters(settings.database_url, SETTLED, stop=base.foundation.stop)
        )
        issuer = await stack.enter_async_context(_offer_issuer(settings))
        cache = None
        if settings.redis_url is not None:
            cache = await stack.enter_async_context(RedisStore(settings.redis_url))
        app = build_app(
            build_dependencies(
                base.work,
                waiters,
                issuer,
                cache=cache,
                booking_limit=settings.booking_limit,
            ),
            api_health(base.foundation, base.broker, waiting=waiters.check),
            key_lifetime=settings.key_lifetime,
            access=base.foundation.access,
        )
        await base.foundation.serve(app)


def build_dependencies(
    work: Work,
    waiters: Waiters,
    offer_issuer: OfferIssuer,
    *,
    cache: Store | None = None,
    booking_limit: timedelta = timedelta(days=730),
) -> Dependencies:
    """The objects that endpoints share; without a `cache` tickets are read from the database."""
    return Dependencies(
        work=work,
        waiters=waiters,
        readers=Readers(work),
        booking_ids=IdBlocks(work.engine, "bookings_id_seq"),
        booking_limit=booking_limit,
        restaurant_zones=KnownZones(work),
        tickets=ReadThrough("ticket-1", StoredTickets(work), cache),
        rentals=rentals.reader(work),
        rental_finisher=Finisher(work),
        offer_issuer=offer_issuer,
    )


def build_app(
    dependencies: Dependencies,
    health: Health | None = None,
    metrics: HttpMetrics | None = None,
    *,
    key_lifetime: timedelta = KEY_LIFETIME,
    access: AccessRules | None = None,
) -> ServiceApp:
    """The HTTP application with the routes of all domains."""
    app = create_app(
        title=NAME,
        version=VERSION,
        description="Place orders, book tables, open tickets, rent scooters, and watch them.",
        routers=routers_of(DOMAINS),
        problems=problems_of(DOMAINS),
        health=health,
        metrics=metrics,
        key_lifetime=key_lifetime,
        access=access,
    )
    app.state.dependencies = dependencies
    return app


def application(settings: Settings | None = None) -> Application:
    """The application that `outbox doctor --app` compares with, as the environment sets it."""
    consuming = (settings or load(Settings)).of_consumers()
    return Application(TOPOLOGY, queues_of(DOMAINS), consuming)


async def work(*roles: Role) -> None:
    """Run the background services of these roles until told to stop."""
    settings = load(Settings)
    async with _bootstrap(settings).worker(
        settings.orders_worker_port,
        "ORDERS_WORKER_PORT",
        queues=queues_of(DOMAINS),
    ) as worker:
        offers = Expiry(worker.work.engine, delete_expired_offers, rows="used offers")
        worker.add(Role.MAINTENANCE, "maintenance offers", offers)
        await worker.run(roles)


def _bootstrap(settings: Settings) -> ServiceBootstrap:
    return ServiceBootstrap(
        service=SERVICE,
        settings=settings,
        database=settings.database,
        outbox=outbox,
        exchange=ORDERS.name,
        topology=TOPOLOGY,
        partitioned=(OUTBOX, days_of_rentals(settings.rental_retention_days)),
    )


@asynccontextmanager
async def _offer_issuer(settings: Settings) -> AsyncIterator[OfferIssuer]:
    """The issuer of offers, with the external systems that it asks."""
    keys = settings.signing_keys
    if DEVELOPMENT_KEY in keys:
        logger.warning("offers are signed with the development key; set OFFER_SIGNING_KEY")
    async with open_client(settings.external_base_url) as http:
        externals = Externals(http)
        async with externals.refreshing():
            yield OfferIssuer(externals, Signer(keys) if keys else None, settings.offer_ttl)
