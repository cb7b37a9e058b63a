"""`STACK=docker make test`: each run has its own containers, whatever else runs or was killed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from pytest_mock import MockerFixture

from devstack.commands import tests
from devstack.commands.servers import VARIABLES
from devstack.docker import containers
from devstack.docker.stack import Docker
from devstack.host import processes
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.waiting import until
from kit.servers.fake_docker import FakeDocker

WAITING = [sys.executable, "-c", "input()", "devstack"]


def _docker_env() -> dict[str, str]:
    """Without the servers that these very tests may use."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**kept, "STACK": "docker"}


def _project(checkout: Layout, run: int) -> str:
    return Docker(checkout, {}).project + f"-test-{run}"


def _left_by(checkout: Layout, fake_docker: FakeDocker, run: int) -> None:
    (checkout.home / f"docker-test-{run}").mkdir(parents=True)
    (fake_docker.folder / f"runs-{_project(checkout, run)}").touch()


def test_a_run_is_named_by_its_pid_and_leaves_nothing(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    with containers.running(checkout, os.environ):
        assert fake_docker.running == [_project(checkout, os.getpid())]
    assert fake_docker.running == []
    assert list(checkout.home.glob("docker*")) == []


def test_the_containers_of_a_killed_run_are_swept_and_those_of_a_living_one_stay(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    living = subprocess.Popen(WAITING, stdin=subprocess.PIPE)
    try:
        assert until(lambda: processes.is_command(living.pid, "devstack"), 10)
        for run in (dead.pid, living.pid):
            _left_by(checkout, fake_docker, run)
        with containers.running(checkout, os.environ):
            pass
        assert fake_docker.running == [_project(checkout, living.pid)]
    finally:
        living.communicate(b"\n")


@pytest.fixture(autouse=True)
def _nothing_is_installed(mocker: MockerFixture) -> None:
    """Neither on a machine without Prometheus, nor by root."""
    mocker.patch("devstack.native.prometheus.find_server", return_value=None)
    mocker.patch("devstack.host.apt.allowed", return_value=False)


def test_rabbitmq_is_installed_for_tests_that_start_whole_systems_also_beside_docker(
    checkout: Layout, fake_docker: FakeDocker, mocker: MockerFixture
) -> None:
    install = mocker.patch("devstack.native.prerequisites.install")
    with tests.infrastructure(checkout, _docker_env()) as urls:
        assert urls["TEST_POSTGRES_URL"].startswith("postgresql://")
    install.assert_called_once()


def test_where_nothing_may_be_installed_the_other_tests_run_all_the_same(
    checkout: Layout,
    fake_docker: FakeDocker,
    mocker: MockerFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mocker.patch(
        "devstack.native.prerequisites.install", side_effect=Trouble("rabbitmq-server missing")
    )
    with tests.infrastructure(checkout, _docker_env()):
        pass
    said = capsys.readouterr().out
    assert "a system of their own will fail: rabbitmq-server missing" in said
    assert "WITHOUT prometheus: tests/alarms fail" in said
