"""A start that cannot work ends at once, with one line that says what to do."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from devstack.native.system import System
from kit.services.order_client import Shop

pytestmark = pytest.mark.e2e


def environment(system: System, **changes: str) -> dict[str, str]:
    """Of a process of service-orders beside the running ones."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ports = {"ORDERS_PORT": port, "ORDERS_WORKER_PORT": port}
    return system.environment["orders"] | ports | changes


def start(system: System, *role: str, **changes: str) -> tuple[int, str]:
    """Run a process of service-orders until it ends by itself."""
    ended = subprocess.run(
        [sys.executable, "-m", "service_orders", *(role or ("api",))],
        env=environment(system, **changes),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("role", ["api", "worker", "migrate"])
def test_a_nonsense_database_url(system: System, role: str) -> None:
    code, said = start(system, role, DATABASE_URL_ORDERS="nonsense")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("service-orders: DATABASE_URL_ORDERS does not start with postgresql://")


def test_a_port_that_is_taken(system: System) -> None:
    taken = str(urlsplit(system.urls["orders"]).port)
    code, said = start(system, ORDERS_PORT=taken)
    assert (code, said.count("\n")) == (2, 1)
    assert f"port {taken}" in said
    assert "ORDERS_PORT" in said


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_broker_that_refuses_the_password(system: System, role: str) -> None:
    url = urlsplit(system.environment["orders"]["RABBITMQ_URL"])
    wrong = url._replace(netloc=f"orders:wrong@{url.hostname}:{url.port}").geturl()
    code, said = start(system, role, RABBITMQ_URL=wrong)
    assert (code, said.count("\n")) == (2, 1)
    assert "RABBITMQ_URL" in said
    assert "wrong" not in said


@pytest.fixture
def behind(system: System) -> Iterator[None]:
    url = system.environment["orders"]["DATABASE_OWNER_URL_ORDERS"]
    with psycopg.connect(url, autocommit=True) as database:
        [(head,)] = database.execute("SELECT version_num FROM alembic_version").fetchall()
        database.execute("UPDATE alembic_version SET version_num = 'orders_0001'")
        yield
        database.execute("UPDATE alembic_version SET version_num = %s", [head])


@pytest.mark.usefixtures("behind")
@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_schema_behind_the_code(system: System, role: str) -> None:
    code, said = start(system, role)
    assert (code, said.count("\n")) == (2, 1)
    assert "make migrate" in said


def test_a_misspelt_setting(system: System) -> None:
    code, said = start(system, ORDERS_PROT="8000")
    assert (code, said.count("\n")) == (2, 1)
    assert "did you mean ORDERS_PORT?" in said


def test_development_passwords_in_production(system: System) -> None:
    code, said = start(system, APP_ENV="production")
    assert (code, said.count("\n")) == (2, 1)
    assert "development password" in said or "dev-only" in said


def test_a_queue_that_is_not_as_declared_is_named_and_ends_nothing(system: System) -> None:
    """On a virtual host of its own, where somebody made the queue by hand. Not a bad start."""
    broker = urlsplit(system.admin_rabbitmq_url)
    auth = (broker.username or "", broker.password or "")
    with httpx.Client(base_url=system.urls["management"], auth=auth, timeout=30) as management:
        management.put("/api/vhosts/odd").raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        management.put(f"/api/permissions/odd/{auth[0]}", json=rights).raise_for_status()
        management.put(
            "/api/queues/odd/processor.orders", json={"durable": True}
        ).raise_for_status()
    relay = subprocess.Popen(
        [sys.executable, "-m", "service_orders", "relay"],
        env=environment(system, RABBITMQ_URL=broker._replace(path="/odd").geturl()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert relay.stdout
    with relay, relay.stdout as lines:
        named = next(line for line in lines if "is not as declared" in line)
        assert "processor.orders" in named
        assert relay.poll() is None
        relay.terminate()
        assert relay.wait(60) == 0


def test_nothing_of_the_running_system_was_harmed(shop: Shop) -> None:
    assert shop.place_order()
    assert set(shop.wait_until_all_end()) <= {"COMPLETED", "FAILED"}
