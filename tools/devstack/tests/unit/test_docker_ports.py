"""Whatever command speaks to Compose says the ports that the start chose: else it recreates."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from devstack.commands import doctor
from devstack.docker.stack import Docker
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.services import ORDERS, PROCESSOR
from kit.servers.fake_docker import FakeDocker, free_http_ports


@pytest.fixture
def postgres_port() -> Iterator[int]:
    """One that is taken."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _docker(checkout: Layout, own_postgres: int, **settings: str) -> Docker:
    compose = checkout.checkout / "docker-compose.yml"
    compose.write_text(compose.read_text().replace(":-5432}", f":-{own_postgres}}}"))
    return Docker(checkout, {**os.environ, **free_http_ports(), **settings})


def _started(docker: Docker, fake_docker: FakeDocker) -> str:
    """The port of PostgreSQL of a system that runs."""
    ports = docker.published.choose()
    (fake_docker.folder / f"runs-{docker.project}").touch()
    return ports["POSTGRES_PORT"]


def test_a_seed_beside_a_running_system_names_the_port_it_stepped_aside_to(
    checkout: Layout, fake_docker: FakeDocker, postgres_port: int
) -> None:
    docker = _docker(checkout, postgres_port)
    port = _started(docker, fake_docker)
    assert port != str(postgres_port)
    docker.run_once(PROCESSOR, "seed")
    assert fake_docker.last("run").env["POSTGRES_PORT"] == port
    assert fake_docker.running == [docker.project]


def test_migrations_while_nothing_runs_step_aside_and_leave_nothing_running(
    checkout: Layout, fake_docker: FakeDocker, postgres_port: int
) -> None:
    docker = _docker(checkout, postgres_port)
    docker.migrate([ORDERS, PROCESSOR])
    assert fake_docker.last("run").env["POSTGRES_PORT"] != str(postgres_port)
    assert [call.words[0] for call in fake_docker.calls].count("down") == 1
    assert fake_docker.running == []


def test_a_command_that_fails_leaves_nothing_running_either(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    fake_docker.fail("run")
    with pytest.raises(Trouble, match="docker compose run failed"):
        Docker(checkout, os.environ).run_once(PROCESSOR, "seed")
    assert fake_docker.running == []


def test_a_port_that_was_set_for_the_start_is_the_one_that_is_kept(
    checkout: Layout, fake_docker: FakeDocker, postgres_port: int
) -> None:
    docker = _docker(checkout, postgres_port)
    docker.published.choose()  # an earlier start, which stepped aside
    given = _docker(checkout, postgres_port, POSTGRES_PORT="29999")
    assert _started(given, fake_docker) == "29999"
    docker.run_once(PROCESSOR, "seed")  # a later command, without that variable
    assert fake_docker.last("run").env["POSTGRES_PORT"] == "29999"


def test_ports_of_the_running_system_are_no_obstacle_for_the_doctor(
    checkout: Layout, fake_docker: FakeDocker, postgres_port: int
) -> None:
    docker = _docker(checkout, postgres_port, ORDERS_PORT=str(postgres_port))
    assert _bad_ports(checkout, docker) == 1
    (fake_docker.folder / f"runs-{docker.project}").touch()
    assert _bad_ports(checkout, docker) == 0


def _bad_ports(checkout: Layout, docker: Docker) -> int:
    found = doctor.Doctor(checkout, docker.env).findings()
    return sum(one.weight == doctor.BAD and "ORDERS_PORT" in one.what for one in found)
