"""A service's own role reads and writes rows; what the tables are is up to their owner alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest

from devstack.host.layout import CHECKOUT
from devstack.native import services
from devstack.native.postgres import SCRIPT, Database, binaries
from devstack.native.services import SERVICES, Service
from kit.servers import addresses

PASSWORD, OWNER_PASSWORD = "it's secret", "owner's secret"
NO_BROKER = "amqp://nobody:nothing@127.0.0.1:1/"
WITHIN = 60.0


class Roles(NamedTuple):
    """A database made and migrated as everywhere, under a name of its own."""

    service: Service
    name: str
    role: str
    owner: str
    admin: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {**kept, self.service.database_variable: self.role, "RABBITMQ_URL": NO_BROKER}


def _url(admin: str, name: str, user: str = "", password: str = "") -> str:
    parts = urlsplit(admin)
    login = f"{user}:{password.replace(chr(39), '%27').replace(' ', '%20')}@"
    where = f"{login}{parts.hostname}:{parts.port}" if user else parts.netloc
    return urlunsplit(parts._replace(netloc=where, path=f"/{name}"))


def make(database: Database, admin: str) -> None:
    """As `make start` and the container do: psql with the deployed script."""
    psql: list[str | Path] = [
        binaries(Path(sys.prefix)) / "psql",
        "-X",
        "-q",
        "-d",
        admin,
        "-f",
        CHECKOUT / SCRIPT,
    ]
    env = {**os.environ, **database.environment}
    subprocess.run(psql, env=env, check=True, timeout=WITHIN)


@pytest.fixture(scope="module", params=SERVICES, ids=lambda service: service.name)
def roles(request: pytest.FixtureRequest) -> Iterator[Roles]:
    service: Service = request.param
    admin, name = addresses.postgres(), f"roles_{uuid4().hex[:12]}"
    database = Database(name, PASSWORD, OWNER_PASSWORD, service.extensions)
    make(database, admin)
    found = Roles(
        service,
        name,
        _url(admin, name, name, PASSWORD),
        _url(admin, name, f"{name}_owner", OWNER_PASSWORD),
        _url(admin, name),
    )
    try:
        env = {**found.environment, service.owner_variable: found.owner}
        command = services.command(Path(sys.executable), service, "migrate")
        subprocess.run(command, env=env, check=True, timeout=WITHIN)
        make(database, admin)
        yield found
    finally:
        with closing(psycopg.connect(admin, autocommit=True)) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            connection.execute(f"DROP ROLE {name}, {name}_owner")


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE outbox",
        "ALTER TABLE outbox ADD COLUMN mine int",
        "TRUNCATE outbox",
        "CREATE TABLE mine ()",
        "CREATE TEMP TABLE mine ()",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION pg_trgm",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SET ROLE {owner}",
        "DROP SCHEMA public",
        "DELETE FROM alembic_version",
        "UPDATE alembic_version SET version_num = 'mine'",
        "COMMENT ON TABLE outbox IS 'mine'",
        "CREATE ROLE mine",
    ],
)
def test_the_services_role_changes_no_table(roles: Roles, statement: str) -> None:
    refused = psycopg.errors.InsufficientPrivilege
    with psycopg.connect(roles.role) as connection, pytest.raises(refused):
        connection.execute(statement.format(owner=f"{roles.name}_owner").encode())


@pytest.mark.parametrize("statement", ["CREATE SCHEMA mine", "CREATE EXTENSION pg_trgm"])
def test_their_owner_owns_the_tables_and_not_the_database(roles: Roles, statement: str) -> None:
    refused = psycopg.errors.InsufficientPrivilege
    with psycopg.connect(roles.owner) as connection, pytest.raises(refused):
        connection.execute(statement.encode())


def test_all_that_was_migrated_belongs_to_the_owner(roles: Roles) -> None:
    with psycopg.connect(roles.admin) as connection:
        owners = connection.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace"
        ).fetchall()
    assert owners == [(f"{roles.name}_owner",)]


def test_both_roles_have_limits(roles: Roles) -> None:
    with psycopg.connect(roles.role) as connection:
        assert _limit(connection, "statement_timeout") == "1min"
        assert _limit(connection, "idle_in_transaction_session_timeout") == "90s"
    with psycopg.connect(roles.owner) as connection:
        assert _limit(connection, "idle_in_transaction_session_timeout") == "5min"
        limits = connection.execute(
            "SELECT rolconnlimit FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY rolname",
            [roles.name],
        ).fetchall()
        [(most,)] = connection.execute("SHOW max_connections").fetchall()
    assert limits == [(75,), (15,)]
    assert len(SERVICES) * sum(limit for (limit,) in limits) < int(most)


def _limit(connection: psycopg.Connection, name: str) -> str:
    return str(connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0])


def test_the_owners_maintenance_makes_days_that_the_role_writes_to(roles: Roles) -> None:
    """As the worker does it; the API starts with the role's rights alone."""
    with psycopg.connect(roles.admin, autocommit=True) as connection:
        days = connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
        ).fetchall()
        for (day,) in days:
            connection.execute(f"DROP TABLE {day}".encode())
    assert "has no partition for today" in _ended(roles, "api")
    owner = {roles.service.owner_variable: roles.owner}
    _ended(roles, "migrate", **owner)
    with psycopg.connect(roles.role) as connection:
        connection.execute("SELECT count(*) FROM outbox").fetchall()
        connection.execute("DELETE FROM outbox")


def test_an_owner_who_cannot_log_in_is_told_of_by_his_variable(roles: Roles) -> None:
    wrong = _url(roles.admin, roles.name, f"{roles.name}_owner", "wrong")
    said = _ended(roles, "worker", **{roles.service.owner_variable: wrong})
    assert said.endswith(f"refuses the user or password of {roles.service.owner_variable}\n")


def _ended(roles: Roles, role: str, **variables: str) -> str:
    """What a process says that ends by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ports = {roles.service.port_variable: port, roles.service.worker_port_variable: port}
    done = subprocess.run(
        services.command(Path(sys.executable), roles.service, role),
        env={**roles.environment, **ports, **variables},
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
    )
    return done.stderr
