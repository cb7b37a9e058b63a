"""What will never work ends a process at once, with status 2 and one line that says what is wrong.

Each line is in the table of docs/operations.md as well.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from kit.outbox.world import EXCHANGE, QUEUE, TAKES, install
from outbox import (
    Consumer,
    ConsumerSettings,
    Discard,
    InboxSettings,
    Notifier,
    Outbox,
    Park,
    Relay,
    RelaySettings,
    Retry,
    RetryPolicy,
    Subscription,
    Topology,
    Work,
    open_work,
)
from outbox.cli.commands import app
from outbox.errors import OutboxError
from outbox.jobs import JobSettings, JobWorker
from servicekit.process.entrypoint import run

TOPOLOGY = Topology([EXCHANGE], [TAKES])
PAGE = (Path(__file__).parents[4] / "docs" / "operations.md").read_text()


class Servers:
    """A database with the library's tables, and a virtual host."""

    def __init__(self, database_url: str, broker_url: str) -> None:
        self.database_url = database_url
        self.broker_url = broker_url

    async def relay(self, **changes: Any) -> None:
        usual: dict[str, Any] = {
            "database_url": self.database_url,
            "broker_url": self.broker_url,
            "exchange": EXCHANGE,
            "topology": TOPOLOGY,
        }
        await Relay(**usual | changes).run(asyncio.Event())

    async def consumer(self, database: Any = None, driver: str = "psycopg", **changes: Any) -> None:
        async with self._work(database, driver) as work:
            usual: dict[str, Any] = {
                "queue": QUEUE,
                "handlers": {"order.happened": nothing},
                "work": work,
                "broker_url": self.broker_url,
                "topology": TOPOLOGY,
            }
            await Consumer(**usual | changes).run(asyncio.Event())

    async def jobs(self, handlers: Any, database: Any = None) -> None:
        async with self._work(database, "psycopg") as work:
            await JobWorker(work, handlers).run(asyncio.Event())

    async def notifier(self, database: Any) -> None:
        async with Notifier(database):
            pass

    @asynccontextmanager
    async def _work(self, database: Any, driver: str) -> AsyncIterator[Work]:
        url = make_url(database or self.database_url).set(drivername=f"postgresql+{driver}")
        async with open_work(create_async_engine(url), url, Outbox("shop")) as work:
            yield work

    def database(self, **changes: Any) -> str:
        return make_url(self.database_url).set(**changes).render_as_string(hide_password=False)


async def nothing(*_: object) -> None: ...


@pytest.fixture
def empty(database_url: str, broker_url: str) -> Servers:
    return Servers(database_url, broker_url)


@pytest.fixture
def servers(database_url: str, broker_url: str) -> Servers:
    install(database_url)
    return Servers(database_url, broker_url)


def ends(start: Callable[[], Awaitable[None]], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a program as the services do; its one line."""

    async def main() -> None:
        async with asyncio.timeout(60):
            await start()

    with pytest.raises(SystemExit) as ended:
        run("shop", main, refusals=(OutboxError,))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said.removeprefix("shop: ").rstrip("\n")


FORM = "postgresql://user:password@host:port/database"
UNREADABLE = (
    f"database_url cannot be read as {FORM}: percent-encode what is special in user and password, "
    "give only parameters that libpq knows"
)


def no_tables(group: str) -> str:
    call = f"call outbox.schema.create_{group}(op) in a migration"
    where = "or see whether the search path leads to them"
    return f"the database has no {group} tables: {call}, {where}"


CONSUMER: dict[str, Any] = {
    "queue": QUEUE,
    "handlers": {"order.happened": nothing},
    "broker_url": "amqp://shop:pass@127.0.0.1:1/",
    "topology": TOPOLOGY,
}

ARGUMENTS: dict[str, tuple[Callable[[Servers], Awaitable[None]], str]] = {
    "a broker's URL for the database": (
        lambda servers: servers.relay(database_url=servers.broker_url),
        f"database_url has to be {FORM} or an engine; this begins with amqp://",
    ),
    "a page's URL for the database": (
        lambda servers: servers.notifier("http://db/shop"),
        f"database_url has to be {FORM} or an engine; this begins with http://",
    ),
    "no URL at all": (
        lambda servers: servers.relay(database_url=""),
        f"database_url has to be {FORM} or an engine; this is no URL",
    ),
    "a password that is not percent-encoded": (
        lambda servers: servers.relay(database_url="postgresql://shop:pass/word@db/shop"),
        UNREADABLE,
    ),
    "a database's URL for the broker": (
        lambda servers: servers.consumer(broker_url=servers.database_url),
        "broker_url has to be amqp://user:password@host:port/vhost; this begins with postgresql://",
    ),
    "an engine of another driver": (
        lambda servers: servers.consumer(driver="asyncpg"),
        "engine has to be postgresql+psycopg://; this one is postgresql+asyncpg://",
    ),
    "a queue that is not in the topology": (
        lambda servers: servers.consumer(queue="kitchen.meals"),
        "queue 'kitchen.meals' is not in the topology; it has kitchen.orders",
    ),
    "an empty name of a queue": (
        lambda servers: servers.consumer(queue=""),
        "queue has to be a name, not ''",
    ),
    "an exchange that is not in the topology": (
        lambda servers: servers.relay(exchange="shops"),
        "exchange 'shops' is not in the topology; it has shop",
    ),
    "handlers that are no mapping": (
        lambda servers: servers.consumer(handlers=[nothing]),
        "handlers of kitchen.orders: a mapping of event type to handler is needed, not list",
    ),
    "a handler that is no function": (
        lambda servers: servers.consumer(handlers={"order.happened": "cook"}),
        "handler of order.happened is not callable: 'cook'",
    ),
    "a handler that no event reaches": (
        lambda servers: servers.consumer(handlers={"payment.made": nothing}),
        "handler of payment.made is never called: kitchen.orders takes only order",
    ),
    "an event type where an aggregate type belongs": (
        lambda servers: servers.consumer(
            topology=Topology([EXCHANGE], [replace(TAKES, aggregate_types=("order.happened",))])
        ),
        "queue kitchen.orders subscribes to 'order.happened', which is an event type: name its"
        " aggregate type instead",
    ),
    "work of another class": (
        lambda servers: Consumer(**{**CONSUMER, "work": "x"}).run(asyncio.Event()),
        "work has to be Work, not str",
    ),
    "no topology": (
        lambda servers: servers.relay(topology=None),
        "topology has to be Topology, not NoneType",
    ),
    "a handler of jobs that is no function": (
        lambda servers: servers.jobs({"pay": None}),
        "handler of job pay is not callable: None",
    ),
}


@pytest.mark.parametrize(("start", "line"), ARGUMENTS.values(), ids=ARGUMENTS)
def test_a_wrong_argument_is_refused_before_anything_is_connected(
    start: Callable[[Servers], Awaitable[None]], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = Servers("postgresql://shop:pass@127.0.0.1:1/shop", "amqp://shop:pass@127.0.0.1:1/")
    assert ends(lambda: start(nowhere), capsys) == line
    assert f"`{line}`" in PAGE


class Own(NamedTuple):
    """What a topology takes for a subscription."""

    exchange: str
    queue: str
    source: str
    aggregate_types: tuple[str, ...]
    routing_keys: tuple[str, ...] = ("#",)


SETTINGS: dict[str, tuple[Callable[[], object], str]] = {
    "a window of 0": (
        lambda: RelaySettings(window=0),
        "RelaySettings.window has to be a whole number, at least 1, not 0",
    ),
    "a negative window": (
        lambda: RelaySettings(windows_in_flight=-1),
        "RelaySettings.windows_in_flight has to be a whole number, at least 1, not -1",
    ),
    "no lanes": (
        lambda: RelaySettings(lanes=0),
        "RelaySettings.lanes has to be a whole number, at least 1, not 0",
    ),
    "no number": (
        lambda: RelaySettings(confirm_timeout=math.nan),
        "RelaySettings.confirm_timeout has to be a number of seconds above 0, not nan",
    ),
    "no end": (
        lambda: RelaySettings(drain_within=math.inf),
        "RelaySettings.drain_within has to be a number of seconds above 0, not inf",
    ),
    "a first poll above the last": (
        lambda: RelaySettings(poll_first=2.0),
        "RelaySettings.poll_first has to be at most poll_ceiling, which is 1.0, not 2.0",
    ),
    "a batch of 0": (
        lambda: ConsumerSettings(batch=0),
        "ConsumerSettings.batch has to be a whole number, at least 1, not 0",
    ),
    "a prefetch of 0": (
        lambda: ConsumerSettings(prefetch=0),
        "ConsumerSettings.prefetch has to be a whole number, at least 1 and at most 65535, not 0",
    ),
    "a prefetch above AMQP's": (
        lambda: ConsumerSettings(prefetch=100_000),
        "ConsumerSettings.prefetch has to be a whole number, at least 1 and at most 65535,"
        " not 100000",
    ),
    "a time as text": (
        lambda: ConsumerSettings(hangs_after="60"),  # type: ignore[arg-type]
        "ConsumerSettings.hangs_after has to be a number of seconds above 0, not '60'",
    ),
    "no crashes": (
        lambda: InboxSettings(crashes=0),
        "InboxSettings.crashes has to be a whole number, at least 1, not 0",
    ),
    "no time for a transaction": (
        lambda: ConsumerSettings(transaction_timeout=0),
        "ConsumerSettings.transaction_timeout has to be a number of seconds from 0.001 to 2147483,"
        " not 0",
    ),
    "a transaction's time that PostgreSQL rounds to no limit": (
        lambda: InboxSettings(transaction_timeout=0.0001),
        "InboxSettings.transaction_timeout has to be a number of seconds from 0.001 to 2147483,"
        " not 0.0001",
    ),
    "a wait for locks that is no number": (
        lambda: InboxSettings(lock_timeout="x"),  # type: ignore[arg-type]
        "InboxSettings.lock_timeout has to be a number of seconds from 0.001 to 2147483, not 'x'",
    ),
    "a transaction that ends before its handler hangs": (
        lambda: ConsumerSettings(transaction_timeout=30.0),
        "ConsumerSettings.hangs_after has to be at most transaction_timeout, which is 30.0,"
        " not 60.0",
    ),
    "a time limit at which the process ends": (
        lambda: ConsumerSettings(hangs_after=30.0),
        "ConsumerSettings.time_limit has to be below hangs_after, which is 30.0, not 30.0",
    ),
    "a time limit that is no time": (
        lambda: InboxSettings(time_limit=-1),
        "InboxSettings.time_limit has to be a number of seconds, or 0 for none, not -1",
    ),
    "a list for rules": (
        lambda: ConsumerSettings(failures=[]),  # type: ignore[arg-type]
        "ConsumerSettings.failures has to be Mapping, not list",
    ),
    "a name for an exception": (
        lambda: ConsumerSettings(failures={"ValueError": Park()}),  # type: ignore[dict-item]
        "ConsumerSettings.failures has to be by class of exception, not by 'ValueError'",
    ),
    "a class for a reaction": (
        lambda: ConsumerSettings(failures={ValueError: Park}),  # type: ignore[dict-item]
        "ConsumerSettings.failures: ValueError has to be Retry or Park or Discard, not type",
    ),
    "a first delay beyond the ceiling": (
        lambda: Retry(base=10, ceiling=5),
        "Retry.base has to be at most ceiling, which is 5, not 10",
    ),
    "a deadline that is no time": (
        lambda: Retry(deadline=0),
        "Retry.deadline has to be a number of seconds above 0, not 0",
    ),
    "a reason that is none": (
        lambda: Park("broken"),  # type: ignore[arg-type]
        "Park.reason has to be 'failed' or 'unreadable', not 'broken'",
    ),
    "a discard without a note": (
        lambda: Discard(" "),
        "Discard.note has to be a name, not ' '",
    ),
    "the same for jobs": (
        lambda: JobSettings(retry=5),  # type: ignore[arg-type]
        "JobSettings.retry has to be RetryPolicy, not int",
    ),
    "settings as a mapping": (
        lambda: Relay(
            database_url="postgresql://shop:pass@127.0.0.1:1/shop",
            broker_url="amqp://shop:pass@127.0.0.1:1/",
            exchange=EXCHANGE,
            topology=TOPOLOGY,
            settings={"window": 5},  # type: ignore[arg-type]
        ),
        "settings has to be RelaySettings or NoneType, not dict",
    ),
    "a forgotten comma": (
        lambda: Subscription("shop", "q", "shop", "order"),  # type: ignore[arg-type]
        "Subscription.aggregate_types has to be a tuple of names, not 'order'",
    ),
    "one exchange as text": (
        lambda: Topology("shop", []),
        "exchanges has to be a tuple of names, not 'shop'",
    ),
    "no aggregate types": (
        lambda: Subscription("shop", "q", "shop", ()),
        "Subscription.aggregate_types has to name at least one",
    ),
    "a queue without a name": (
        lambda: Subscription("shop", "", "shop", ("order",)),
        "Subscription.queue has to be a name, not ''",
    ),
    "a queue whose dead letters have too long a name": (
        lambda: Subscription("shop", "q" * 251, "shop", ("order",)),
        f"Subscription.queue has to have at most 250 bytes, not '{'q' * 60}'…",
    ),
    "the same in a class of one's own": (
        lambda: Topology(["shop"], [Own("shop", "", "shop", ("order",))]),
        "Subscription.queue has to be a name, not ''",
    ),
    "no attempts": (
        lambda: RetryPolicy(attempts=0),
        "RetryPolicy.attempts has to be a whole number, at least 1, not 0",
    ),
    "a negative delay": (
        lambda: RetryPolicy(base=-1.0),
        "RetryPolicy.base has to be a number of seconds above 0, not -1.0",
    ),
    "no calls at once": (
        lambda: JobSettings(concurrency=0),
        "JobSettings.concurrency has to be a whole number, at least 1, not 0",
    ),
    "a lease shorter than a heartbeat": (
        lambda: JobSettings(lease=5.0),
        "JobSettings.heartbeat has to be at most lease, which is 5.0, not 10.0",
    ),
}


@pytest.mark.parametrize(("build", "line"), SETTINGS.values(), ids=SETTINGS)
def test_a_setting_out_of_range_is_refused(
    build: Callable[[], object], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def start() -> None:
        build()

    assert ends(start, capsys) == line


SERVERS: dict[str, tuple[Callable[[Servers], Awaitable[None]], str]] = {
    "a wrong password of the database": (
        lambda servers: servers.relay(database_url=servers.database(password="wr0ng")),
        'the database refuses us: password authentication failed for user "postgres"',
    ),
    "the same at a consumer": (
        lambda servers: servers.consumer(servers.database(password="wr0ng")),
        'the database refuses us: password authentication failed for user "postgres"',
    ),
    "no such user of the database": (
        lambda servers: servers.relay(database_url=servers.database(username="nobody")),
        'the database refuses us: password authentication failed for user "nobody"',
    ),
    "no such database": (
        lambda servers: servers.relay(database_url=servers.database(database="nowhere")),
        'the database refuses us: database "nowhere" does not exist',
    ),
    "the same at jobs": (
        lambda servers: servers.jobs({"pay": nothing}, servers.database(database="nowhere")),
        'the database refuses us: database "nowhere" does not exist',
    ),
    "a wrong password of the broker": (
        lambda servers: servers.relay(broker_url=login(servers.broker_url, "nobody:wr0ng")),
        "the broker refuses us: user nobody may not log in; is the password right?",
    ),
    "no such virtual host": (
        lambda servers: servers.consumer(broker_url=f"{servers.broker_url}s"),
        "the broker refuses us: no virtual host 'VHOST' for user admin; make it, or grant the"
        " user rights there",
    ),
    "another number of lanes": (
        lambda servers: servers.relay(settings=RelaySettings(lanes=4)),
        "this relay is set to 4 lanes, the database to 16",
    ),
}


def login(url: str, credentials: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{credentials}@{parts.hostname}:{parts.port}").geturl()


@pytest.mark.parametrize(("start", "line"), SERVERS.values(), ids=SERVERS)
def test_what_a_server_refuses_ends_a_part_at_its_first_connection(
    servers: Servers,
    start: Callable[[Servers], Awaitable[None]],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    vhost = f"{urlsplit(servers.broker_url).path.removeprefix('/')}s"
    user = urlsplit(servers.broker_url).username or ""
    said = ends(lambda: start(servers), capsys)
    assert said.replace(vhost, "VHOST").replace(f"user {user};", "user admin;") == line
    assert f"`{line}`" in PAGE


TABLES: dict[str, tuple[Callable[[Servers], Awaitable[None]], str]] = {
    "a relay": (lambda empty: empty.relay(), no_tables("outbox")),
    "a consumer": (lambda empty: empty.consumer(), no_tables("inbox")),
    "a worker of jobs": (lambda empty: empty.jobs({"pay": nothing}), no_tables("jobs")),
}


@pytest.mark.parametrize(("start", "line"), TABLES.values(), ids=TABLES)
def test_a_database_without_tables_ends_a_part_at_its_first_connection(
    empty: Servers,
    start: Callable[[Servers], Awaitable[None]],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ends(lambda: start(empty), capsys) == line
    assert f"`{line}`" in PAGE


async def test_a_server_that_is_away_is_waited_for(servers: Servers) -> None:
    relay = Relay(
        database_url=servers.database(port=1),
        broker_url=servers.broker_url,
        exchange=EXCHANGE,
        topology=TOPOLOGY,
    )
    running = asyncio.create_task(relay.run(stop := asyncio.Event()))
    done, _ = await asyncio.wait({running}, timeout=1)
    stop.set()
    await running
    assert not done


COMMANDS: dict[str, tuple[Callable[[Servers], list[str]], str]] = {
    "a broker's URL": (
        lambda servers: ["status", "--database-url", servers.broker_url],
        f"database_url has to be {FORM} or an engine; this begins with amqp://",
    ),
    "no URL": (
        lambda _: ["status", "--database-url", "shop"],
        f"database_url has to be {FORM} or an engine; this is no URL",
    ),
    "a wrong password": (
        lambda servers: ["status", "--database-url", servers.database(password="wr0ng")],
        'the database refuses us: password authentication failed for user "postgres"',
    ),
    "no such database": (
        lambda servers: ["lanes", "--database-url", servers.database(database="nowhere")],
        'the database refuses us: database "nowhere" does not exist',
    ),
    "no tables": (
        lambda servers: ["status", "--database-url", servers.database()],
        "there is neither an outbox nor an inbox in this database; has it been migrated?",
    ),
    "an application that raises": (
        lambda servers: [
            *("doctor", "--database-url", servers.database()),
            *("--app", f"{__name__}:raising"),
        ],
        f"--app {__name__}:raising: KeyError: 'RABBITMQ_URL'",
    ),
}


def raising() -> Topology:
    raise KeyError("RABBITMQ_URL")


@pytest.mark.parametrize(("command", "line"), COMMANDS.values(), ids=COMMANDS)
def test_the_command_ends_with_status_2_and_one_line(
    empty: Servers, command: Callable[[Servers], list[str]], line: str
) -> None:
    ended = CliRunner().invoke(app, command(empty))
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr == f"outbox: {line}\n"
