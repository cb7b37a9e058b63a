"""Addresses are taken in every usual form, and no form of them ever shows its password."""

from __future__ import annotations

import asyncio
import logging
import traceback

import psycopg
import pytest
import yarl
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Notifier
from outbox.addresses import BrokerAddress, Database, DatabaseAddress, masked
from outbox.errors import InvalidSetting
from outbox.operations.database import open_database
from outbox.postgres.listener import Listener
from outbox.postgres.notify import DOORBELL
from outbox.postgres.sessions import connect, open_lock_session

SECRET = "s3/c r@t"
QUOTED = "s3%2Fc%20r%40t"
EXPECTED = {"user": "shop", "password": SECRET, "host": "db", "port": "6000", "dbname": "x"}

FORMS: dict[str, Database] = {
    "libpq": f"postgresql://shop:{QUOTED}@db:6000/x",
    "libpq, short": f"postgres://shop:{QUOTED}@db:6000/x",
    "libpq, in the query": f"postgresql://shop@db:6000/x?password={QUOTED}",
    "libpq, key=value": f"host=db port=6000 user=shop dbname=x password='{SECRET}'",
    "SQLAlchemy, psycopg": f"postgresql+psycopg://shop:{QUOTED}@db:6000/x",
    "SQLAlchemy, asyncpg": f"postgresql+asyncpg://shop:{QUOTED}@db:6000/x",
    "SQLAlchemy, psycopg2": f"postgresql+psycopg2://shop:{QUOTED}@db:6000/x",
    "URL": URL.create("postgresql+psycopg", "shop", SECRET, "db", 6000, "x"),
    "URL, asyncpg": URL.create("postgresql+asyncpg", "shop", SECRET, "db", 6000, "x"),
    "engine": create_engine(f"postgresql+psycopg://shop:{QUOTED}@db:6000/x"),
    "async engine": create_async_engine(f"postgresql+psycopg://shop:{QUOTED}@db:6000/x"),
}


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_every_form_means_the_same_and_shows_no_password(given: Database) -> None:
    address = DatabaseAddress.of(given)
    assert address.parameters == EXPECTED
    assert psycopg.conninfo.conninfo_to_dict(address.conninfo) == EXPECTED
    assert DatabaseAddress.of(address.engine_url).parameters == EXPECTED
    assert str(address) == repr(address) == "postgresql://shop:***@db:6000/x"


def test_what_asyncpg_calls_ssl_is_sslmode() -> None:
    address = DatabaseAddress.of("postgresql+asyncpg://shop@db/x?ssl=require")
    assert address.parameters["sslmode"] == "require"


def test_several_hosts_are_kept() -> None:
    for given in (
        "postgresql://shop:p@a:1,b:2/x",
        make_url("postgresql+psycopg://shop:p@/x?host=a:1&host=b:2"),
    ):
        address = DatabaseAddress.of(given)
        assert (address.parameters["host"], address.parameters["port"]) == ("a,b", "1,2")


MALFORMED: dict[str, object] = {
    "nothing": "",
    "a word": "s3cret",
    "a slash in the password": "postgresql://shop:s3cret/more@db/x",
    "a number before the slash": "postgresql://shop:12/s3cret@db/x",
    "an @ in the password": "postgresql://shop:one@s3cret@db/x",
    "an @ in the password, SQLAlchemy": "postgresql+psycopg://shop:one@s3cret@db/x",
    "a lonely %": "postgresql://shop:%s3cret@db/x",
    "a blank": "host=db password=one s3cret",
    "an unknown word": "host=db password=one s3cret=1",
    "an unknown parameter": "postgresql://shop:s3cret@db/x?pool=5",
    "no port": "postgresql+asyncpg://shop:s3cret@db:port/x",
    "a broker's": "amqp://shop:s3cret@db/",
    "a page's": "http://shop:s3cret@db/",
    "another database's": "mysql+pymysql://shop:s3cret@db/x",
    "another database's engine": create_engine("sqlite://"),
    "a number": 5432,
}


@pytest.mark.parametrize("given", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_address_is_refused_in_one_line_without_its_password(given: object) -> None:
    with pytest.raises(InvalidSetting, match=r"^database_url [^\n]*$") as refused:
        DatabaseAddress.of(given)  # type: ignore[arg-type]
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("given", ["amqp://shop:s3%2Fcret@mq:5/v", yarl.URL("amqp://shop@mq:5/v")])
def test_a_broker_is_taken_as_text_and_as_url(given: str | yarl.URL) -> None:
    address = BrokerAddress.of(given)
    assert (address.user, address.vhost) == ("shop", "v")
    assert str(address) == repr(address) == "amqp://shop:***@mq:5/v"


@pytest.mark.parametrize(
    "given",
    [
        "",
        "s3cret",
        "amqp://",
        "amqp://shop:s3cret/more@mq/",
        "amqp://shop:12/s3cret@mq/",
        "amqp://shop:12#s3cret@mq/",
        "amqp://shop:12?s3cret@mq/",
        "amqp://shop:one@s3cret@mq/",
        "amqp://shop:s3cret@mq:port/",
        "postgresql://shop:s3cret@db/x",
        "https://shop:s3cret@mq/",
        5672,
    ],
)
def test_what_is_no_broker_is_refused_in_one_line_without_its_password(given: object) -> None:
    with pytest.raises(InvalidSetting, match=r"^broker_url [^\n]*$") as refused:
        BrokerAddress.of(given)  # type: ignore[arg-type]
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


def test_what_others_say_of_an_address_is_masked() -> None:
    said = 'missing "=" after "postgresql+asyncpg://shop:s3@cret@db/x" in connection info string'
    assert masked(said) == said.replace("s3@cret", "***")
    assert masked("host=db password='s3 cret' user=shop") == "host=db password=*** user=shop"
    assert masked("x://shop@db/x?password=s3cret&a=b") == "x://shop@db/x?password=***&a=b"


def forms_of(world: World) -> list[Database]:
    plain = make_url(world.database_url)
    engine: Engine = create_engine(plain.set(drivername="postgresql+psycopg"))
    conninfo = DatabaseAddress.of(world.database_url).conninfo
    asyncpg = plain.set(drivername="postgresql+asyncpg")
    return [conninfo, asyncpg, asyncpg.render_as_string(hide_password=False), engine, world.engine]


async def test_each_form_works_wherever_an_address_is_asked_for(world: World) -> None:
    async with await connect(world.engine) as connection:
        listener = await Listener.over(connection, DOORBELL)
        for given in forms_of(world):
            async with await open_lock_session(given, "test") as keeper:
                await keeper.execute("SELECT 1")
            async with open_database(given) as operator:
                await operator.execute("SELECT 1")
            async with Notifier(given) as notifier:
                notifier.ring()
                assert await listener.heard(30)


async def test_a_part_shows_no_password(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Not of what it holds either, as a debugger or a traceback with its locals would show it."""
    caplog.set_level(logging.DEBUG, "outbox")
    shown = "".join(repr(vars(part)) for part in (world.relay(), world.consumer(ignored)))
    async with Notifier(world.database_url) as notifier:
        shown += repr(vars(notifier))
    for address in (world.database_url, world.broker_url):
        password = yarl.URL(address).password
        assert password
        assert password not in shown + caplog.text


async def ignored(*_: object) -> None: ...


async def test_the_notifier_says_an_outage_once_and_without_the_password(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.postgres.notify.RETRY_AFTER", 0.01)
    caplog.set_level(logging.DEBUG, "outbox")
    url = make_url(world.database_url).set(password="wr0ng-one")

    async def tried_often() -> bool:
        return len(caplog.records) > 5

    async with Notifier(url):
        await eventually(tried_often)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert "wr0ng-one" not in caplog.text


async def test_not_even_at_debug_does_any_library_log_a_password(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await world.emit(Happened("a"))
    taken = asyncio.Event()

    async def take(*_: object) -> None:
        taken.set()

    async with running(world.relay(), world.consumer(take)), asyncio.timeout(60):
        await taken.wait()
    assert {record.name.partition(".")[0] for record in caplog.records} >= {"aiormq", "aio_pika"}
    for address in (world.database_url, world.broker_url):
        assert (yarl.URL(address).password or "") not in caplog.text
