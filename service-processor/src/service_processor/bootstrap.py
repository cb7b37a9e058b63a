"""The only place that constructs things. Importing it connects to nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from contracts import AUDIT, AUDIT_KEPT, EXCHANGES, SUBSCRIPTIONS
from contracts.subscriptions import PROCESSOR
from outbox import (
    Application,
    ConsumerSettings,
    Maintenance,
    Topology,
    Work,
    build_worker,
    open_work,
)
from outbox.jobs import JobWorker
from outbox.postgres.leadership import Leader
from outbox.rabbitmq import stream_reader
from service_processor import NAME, VERSION, republishing, seeding
from service_processor.audit.journal import Journal
from service_processor.audit.replay import Offset, replay
from service_processor.domains import domains
from service_processor.domains.payments.provider import PATIENT, Provider, payment_jobs
from service_processor.metadata import outbox
from service_processor.settings import DATABASE_VARIABLE, OWNER_VARIABLE, Settings
from servicekit.database.engine import create_engine, ensure_reachable
from servicekit.http.access_rules import AccessRules
from servicekit.http.app import ServiceApp, create_app
from servicekit.http.client import open_client
from servicekit.http.idempotency_expiry import KeyExpiry
from servicekit.observe import logs, trace
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
from servicekit.process.settings import AppEnv, load
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl

SERVICE = Service(NAME, VERSION, Path(__file__).parents[2] / "alembic.ini", DATABASE_VARIABLE)
TOPOLOGY = Topology([exchange.name for exchange in EXCHANGES], SUBSCRIPTIONS, {AUDIT: AUDIT_KEPT})


async def migrate() -> None:
    """Bring the schema to head, and the log's partitions to the days that are to come."""
    settings = load(Settings)
    await runtime.migrate(SERVICE, settings, *_owner(settings))
    async with _work(settings, "migrate"):
        pass


async def seed(*, unless_production: bool) -> None:
    """Put in the demo restaurants, once; refused in production, or left out of it."""
    settings = load(Settings)
    if settings.app_env is AppEnv.PRODUCTION:
        if unless_production:
            return
        raise StartupProblem("demo restaurants are not for APP_ENV=production; none was put in")
    async with _command(settings, "seed") as units:
        planted = await seeding.plant(units)
    print("the demo restaurants are in" if planted else "the demo restaurants were in before")  # noqa: T201 its answer


async def republish_restaurants() -> None:
    """Emit current state of all restaurants again."""
    async with _command(load(Settings), "republish") as units:
        count = await republishing.republish_restaurants(units)
    print(f"{count} restaurants are said again")  # noqa: T201 the command's answer


async def replay_audit(begin: Offset) -> None:
    """Print the audit's lines from some point of the stream to its end."""
    await replay(load(Settings).rabbitmq_url, TOPOLOGY, begin)


async def api() -> None:
    """Answer requests until told to stop; the broker may be away."""
    settings = load(Settings)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(
            _foundation(settings, settings.processor_port, "PROCESSOR_PORT")
        )
        work = await stack.enter_async_context(_work(settings, "api"))
        broker = await stack.enter_async_context(
            BrokerProbe(settings.rabbitmq_url, name=f"{NAME} api health")
        )
        await base.serve(build_app(settings, work, api_health(base, broker), access=base.access))


def build_app(
    settings: Settings,
    work: Work,
    health: Health | None = None,
    metrics: HttpMetrics | None = None,
    access: AccessRules | None = None,
) -> ServiceApp:
    """The HTTP application with the routes of all domains."""
    app = create_app(
        title=NAME,
        version=VERSION,
        description="Does the work that events ask for, and shows what it knows.",
        routers=[domain.router for domain in domains(settings) if domain.router],
        problems={
            error: spec for domain in domains(settings) for error, spec in domain.problems.items()
        },
        health=health,
        metrics=metrics,
        key_lifetime=settings.key_lifetime,
        access=access,
    )
    app.state.work, app.state.default_timezone = work, settings.default_timezone
    return app


def application(settings: Settings | None = None) -> Application:
    """What `outbox doctor --app` compares with, under the settings of the environment."""
    of = domains(settings or load(Settings))
    return Application(TOPOLOGY, {d.queue: d.handlers for d in of if d.queue})


async def work(*names: str) -> None:
    """Run these parts of the worker until told to stop."""
    settings = load(Settings)
    async with (
        _foundation(settings, settings.processor_worker_port, "PROCESSOR_WORKER_PORT") as base,
        _work(settings, "worker") as units,
        _maintenance(settings) as maintenance,
        open_client(settings.external_base_url) as http,
    ):
        parts = build_worker(
            database_url=settings.database_url,
            broker_url=settings.rabbitmq_url,
            exchange=PROCESSOR.name,
            topology=TOPOLOGY,
            work=units,
            queues=application(settings).queues,
            settings=ConsumerSettings(senders=settings.senders),
        )
        parts["maintenance"] = maintenance
        parts["maintenance keys"] = KeyExpiry(units.engine)
        parts["jobs"] = JobWorker(units, payment_jobs(Provider(http)), PATIENT)
        parts["audit"] = _audit(settings, units)
        chosen = {name: part for name, part in parts.items() if name.split()[0] in names}
        await run_parts(base, chosen)


def _audit(settings: Settings, units: Work) -> Leader:
    journal = Journal(units.engine, AUDIT)
    reader = stream_reader.StreamReader(
        stream=AUDIT,
        broker_url=settings.rabbitmq_url,
        topology=TOPOLOGY,
        begin=journal.place,
        handle=journal.write,
    )
    return Leader(reader, name=AUDIT, database_url=settings.database_url)


@asynccontextmanager
async def _command(settings: Settings, name: str) -> AsyncIterator[Work]:
    """Units of work for a command that ends by itself, on a schema that is at head."""
    logs.configure(SERVICE.name, settings.log_level, settings.log_format)
    await runtime.ensure_database(SERVICE, settings.database_url)
    async with _work(settings, name) as units:
        yield units


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
async def _maintenance(settings: Settings) -> AsyncIterator[Maintenance]:
    """By the owner; raises StartupProblem where the log cannot be written today."""
    url, variable = _owner(settings)
    await ensure_reachable(url, variable=variable)
    engine = create_engine(url, application_name=f"{NAME} maintenance", pool_size=1)
    try:
        maintenance = Maintenance(engine)
        if not await maintenance.prepare():
            raise StartupProblem(
                f"the outbox at {url.place} has no partition for today and none could be made:"
                f" run `make migrate-processor` (see {variable})"
            )
        yield maintenance
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
