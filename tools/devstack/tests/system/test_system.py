"""The real thing: PostgreSQL and RabbitMQ in a folder with a long path, killed and brought back."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.host import processes
from devstack.host.waiting import until
from devstack.native import rabbitmq
from devstack.native.postgres import Database
from devstack.native.system import CHECKOUT, Layout, System

DEADLINE = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("system") / "a folder" / ("x" * 120) / "home"


@pytest.fixture(scope="module")
def system(home: Path) -> Iterator[System]:
    layout = Layout(CHECKOUT, home)
    with System(layout, with_services=False, durable=False) as system:
        yield system
    assert processes.belonging_to(home) == set()
    assert not home.exists()


def _is_back(system: System, name: str, before: int) -> bool:
    return system.pid_of(name) not in (0, before)


def test_each_role_connects_to_its_own_database_only(system: System) -> None:
    own = system.environment["orders"]["DATABASE_URL_ORDERS"]
    with psycopg.connect(own) as connection:
        row = connection.execute("SELECT current_user, current_database()").fetchone()
    assert row == ("orders", "orders")
    for database in ("processor", "postgres", "template1"):
        foreign = own.rpartition("/")[0] + f"/{database}"
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(foreign)


def test_the_broker_knows_the_declared_users_and_no_guest(system: System) -> None:
    login = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    login.add_password(None, system.urls["management"], rabbitmq.ADMIN, rabbitmq.ADMIN_PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(login))
    with opener.open(f"{system.urls['management']}/api/users", timeout=10) as answer:
        assert {user["name"] for user in json.load(answer)} == {
            "admin",
            "console",
            "orders",
            "processor",
        }


def test_a_killed_postmaster_comes_back_with_its_data(system: System) -> None:
    with psycopg.connect(system.admin_database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    before = system.pid_of("postgres")
    system.kill("postgres")
    assert until(lambda: _is_back(system, "postgres", before), DEADLINE)
    system.start_process("postgres")
    with psycopg.connect(system.admin_database_url) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_killed_broker_comes_back(system: System) -> None:
    before = system.pid_of("rabbitmq")
    assert processes.program_of(before) == "beam.smp"
    system.kill("rabbitmq")
    assert until(lambda: _is_back(system, "rabbitmq", before), DEADLINE)
    system.start_process("rabbitmq")
    assert until(lambda: rabbitmq.speaks_amqp(system.ports["amqp"]), DEADLINE)


def test_a_stopped_process_stays_away_until_it_is_started(system: System) -> None:
    with system.without("rabbitmq"):
        assert system.pid_of("rabbitmq") == 0
        assert not rabbitmq.speaks_amqp(system.ports["amqp"])
    assert rabbitmq.speaks_amqp(system.ports["amqp"])


def test_making_roles_and_databases_again_changes_nothing(system: System) -> None:
    assert system.infrastructure.postgres is not None
    system.infrastructure.postgres.ensure(
        [Database("orders", "orders-dev-only", "orders-owner-dev-only")]
    )


def test_a_system_that_lost_its_supervisor_is_still_ended_to_the_last_process(
    tmp_path: Path,
) -> None:
    lost = System(Layout(CHECKOUT, tmp_path / "home"), with_services=False, durable=False)
    lost.start()
    supervisor = lost.supervisor.process()
    assert supervisor is not None
    processes.end([supervisor], grace=0)
    assert processes.belonging_to(lost.layout.home)
    lost.stop()
    assert processes.belonging_to(lost.layout.home) == set()
    kept = [file.name for file in lost.layout.run.iterdir()]
    assert not {"programs.json", "state.json"} & set(kept)  # environments, so passwords
