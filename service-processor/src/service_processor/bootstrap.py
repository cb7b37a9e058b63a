"""The only place that constructs things. Importing it connects to nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from contracts import AUDIT, AUDIT_KEPT, EXCHANGES, SUBSCRIPTIONS
from contracts.exchanges import PROCESSOR
from outbox import Application, Topology, Work
from outbox.jobs import JobWorker
from outbox.postgres.leadership import Leader
from outbox.rabbitmq import stream_reader
from service_processor import NAME, VERSION, republishing, seeding
from service_processor.audit.journal import LINGER, Journal
from service_processor.audit.replay import Offset, replay
from service_processor.dependencies import Dependencies
from service_processor.domains import domains
from service_processor.domains.payments.provider import PATIENT, Provider, payment_jobs
from service_processor.metadata import outbox
from service_processor.seating.resources import SeatingResources
from service_processor.settings import DATABASE_VARIABLE, Settings
from servicekit.http.access_rules import AccessRules
from servicekit.http.app import ServiceApp, create_app
from servicekit.http.client import open_client
from servicekit.observe import logs
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics
from servicekit.process import runtime
from servicekit.process.runtime import Service, api_health
from servicekit.process.settings import AppEnv, load
from servicekit.process.startup_errors import StartupProblem
from servicekit.service.bootstrap import Api, Role, ServiceBootstrap
from servicekit.service.domain import problems_of, queues_of, routers_of

SERVICE = Service(NAME, VERSION, Path(__file__).parents[2] / "alembic.ini", DATABASE_VARIABLE)
TOPOLOGY = Topology([exchange.name for exchange in EXCHANGES], SUBSCRIPTIONS, {AUDIT: AUDIT_KEPT})


async def migrate() -> None:
    """Bring the schema to head, and make the partitions of the days to come."""
    await _bootstrap(load(Settings)).migrate()


async def seed(*, unless_production: bool) -> None:
    """Add the demo restaurants once. Production refuses it, or skips it `unless_production`."""
    settings = load(Settings)
    if settings.app_env is AppEnv.PRODUCTION:
        if unless_production:
            return
        raise StartupProblem("demo restaurants are not for APP_ENV=production; none was put in")
    async with _command(settings, "seed") as work:
        planted = await seeding.plant(work)
    print("the demo restaurants are in" if planted else "the demo restaurants were in before")  # noqa: T201 its answer


async def republish_restaurants() -> None:
    """Emit the current state of all restaurants again."""
    async with _command(load(Settings), "republish") as work:
        count = await republishing.republish_restaurants(work)
    print(f"{count} restaurants are said again")  # noqa: T201 the command's answer


async def replay_audit(begin: Offset) -> None:
    """Print the audit's lines from some point of the stream queue to its end."""
    await replay(load(Settings).rabbitmq_url, TOPOLOGY, begin)


async def api() -> None:
    """Answer requests until told to stop; the broker may be away."""
    settings = load(Settings)
    await _bootstrap(settings).run_api(
        settings.processor_port, "PROCESSOR_PORT", partial(_answer, settings)
    )


async def _answer(settings: Settings, base: Api) -> None:
    app = build_app(
        settings,
        build_dependencies(settings, base.work),
        api_health(base.foundation, base.broker),
        access=base.foundation.access,
    )
    await base.foundation.serve(app)


def build_dependencies(settings: Settings, work: Work) -> Dependencies:
    """The objects that endpoints share."""
    return Dependencies(work, SeatingResources(work), settings.default_timezone)


def build_app(
    settings: Settings,
    dependencies: Dependencies,
    health: Health | None = None,
    metrics: HttpMetrics | None = None,
    access: AccessRules | None = None,
) -> ServiceApp:
    """The HTTP application with the routes of all domains."""
    app = create_app(
        title=NAME,
        version=VERSION,
        description="Does the work that events ask for, and shows what it knows.",
        routers=routers_of(domains(settings)),
        problems=problems_of(domains(settings)),
        health=health,
        metrics=metrics,
        key_lifetime=settings.key_lifetime,
        access=access,
    )
    app.state.dependencies = dependencies
    return app


def application(settings: Settings | None = None) -> Application:
    """The application that `outbox doctor --app` compares with, as the environment sets it."""
    settings = settings or load(Settings)
    return Application(TOPOLOGY, queues_of(domains(settings)), settings.of_consumers())


async def work(*roles: Role) -> None:
    """Run the background services of these roles until told to stop."""
    settings = load(Settings)
    async with (
        _bootstrap(settings).worker(
            settings.processor_worker_port,
            "PROCESSOR_WORKER_PORT",
            queues=queues_of(domains(settings)),
        ) as worker,
        open_client(settings.external_base_url) as http,
    ):
        jobs = JobWorker(worker.work, payment_jobs(Provider(http)), PATIENT)
        worker.add(Role.JOBS, "jobs", jobs)
        worker.add(Role.AUDIT, "audit", _audit(settings, worker.work))
        await worker.run(roles)


def _audit(settings: Settings, work: Work) -> Leader:
    journal = Journal(work.engine, AUDIT)
    reader = stream_reader.StreamReader(
        stream=AUDIT,
        broker_url=settings.rabbitmq_url,
        topology=TOPOLOGY,
        begin=journal.position,
        handle=journal.write,
        linger=LINGER,
    )
    return Leader(reader, name=AUDIT, database_url=settings.database_url)  # see decision 0851


@asynccontextmanager
async def _command(settings: Settings, name: str) -> AsyncIterator[Work]:
    """Units of work for a command that ends by itself, on a schema that is at head."""
    logs.configure(SERVICE.name, settings.log_level, settings.log_format)
    await runtime.ensure_database(SERVICE, settings.database_url)
    async with _bootstrap(settings).open_work(name) as work:
        yield work


def _bootstrap(settings: Settings) -> ServiceBootstrap:
    return ServiceBootstrap(
        service=SERVICE,
        settings=settings,
        database=settings.database,
        outbox=outbox,
        exchange=PROCESSOR.name,
        topology=TOPOLOGY,
    )
