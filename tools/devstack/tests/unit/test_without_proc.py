"""Systems other than Linux have no /proc: Docker is used there, and what looks finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from devstack.commands import clean, doctor, stack_choice
from devstack.docker.stack import Docker
from devstack.host import processes
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.ports import Ports
from devstack.native.stack import Native
from devstack.native.system import System
from kit.servers.fake_docker import FakeDocker


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """No /proc, no abstract sockets, no O_PATH."""
    mocker.patch("devstack.host.processes.PROC", tmp_path / "proc")
    mocker.patch("devstack.host.ports.PROC", tmp_path / "proc")
    monkeypatch.delattr(os, "O_PATH")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_two_starts_at_once_never_choose_the_same_port(tmp_path: Path) -> None:
    with Ports(tmp_path) as one, Ports(tmp_path) as other:
        first = one.choose({"postgres": None})["postgres"]
        assert other.choose({"postgres": first})["postgres"] != first
    (tmp_path / "ports.json").unlink()
    with Ports(tmp_path) as later:
        assert later.choose({"postgres": first})["postgres"] == first


def test_docker_is_stopped_cleaned_and_looked_at(checkout: Layout, fake_docker: FakeDocker) -> None:
    env = {**os.environ, "YES": "1"}
    stack_choice.keep(checkout, stack_choice.DOCKER)
    Docker(checkout, env).published.choose(with_services=False)
    for _ in doctor.Doctor(checkout, env).findings():
        pass
    Docker(checkout, env).stop()
    clean.run(checkout, env)
    assert not checkout.home.exists()


def test_a_living_command_is_known_by_its_pid_alone() -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    assert processes.is_command(os.getpid(), "devstack")
    assert not processes.is_command(dead.pid, "devstack")


def test_the_native_stack_says_that_it_needs_linux(checkout: Layout) -> None:
    native = Native(checkout, {"ORDERS_PORT": "1"})
    with pytest.raises(Trouble, match="only Linux has: STACK=docker make start"):
        native.start()
    with pytest.raises(Trouble, match="only Linux has: STACK=docker make start"):
        System(checkout).start()
