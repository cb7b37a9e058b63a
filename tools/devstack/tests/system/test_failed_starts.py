"""A first start that fails, or is interrupted, leaves nothing running and no choice of a stack."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from devstack.commands import parser, stack_choice
from devstack.commands.command import Command
from devstack.host import processes
from devstack.host.errors import Trouble
from devstack.host.layout import CHECKOUT, Layout
from kit.servers.fake_docker import FakeDocker, free_http_ports


def _command(layout: Layout, stack: str) -> Command:
    env = {**os.environ, **free_http_ports(), "STACK": stack}
    return Command(argparse.Namespace(), layout, env)


def test_containers_end_when_ctrl_c_meets_their_start(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    fake_docker.interrupt("up")
    with pytest.raises(KeyboardInterrupt):
        parser.start(_command(checkout, "docker"))
    assert fake_docker.running == []
    assert stack_choice.kept(checkout) is None


def test_containers_end_when_what_follows_their_start_fails(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    with pytest.raises(Trouble, match="does not answer"):  # no restaurants: nobody listens
        parser.start(_command(checkout, "docker"))
    assert fake_docker.running == []
    assert stack_choice.kept(checkout) is None


def test_containers_that_do_not_end_are_told_of_and_make_stop_finds_them(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    fake_docker.interrupt("up")
    fake_docker.fail("down")
    with pytest.raises(Trouble, match="make stop"):
        parser.start(_command(checkout, "docker"))
    assert stack_choice.kept(checkout) == stack_choice.DOCKER


def test_containers_that_ran_before_survive_a_second_start_that_fails(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    command = _command(checkout, "docker")
    (fake_docker.folder / f"runs-{command.docker.project}").touch()
    stack_choice.keep(checkout, stack_choice.DOCKER)
    fake_docker.fail("up")
    with pytest.raises(Trouble, match="did not get ready"):
        parser.start(command)
    assert fake_docker.running == [command.docker.project]
    assert stack_choice.kept(checkout) == stack_choice.DOCKER


@pytest.mark.e2e
def test_processes_end_when_the_demo_restaurants_do_not_come(
    tmp_path: Path, mocker: MockerFixture
) -> None:
    layout = Layout(CHECKOUT, tmp_path / "home")
    mocker.patch("devstack.native.seeding.wait_until_known", side_effect=Trouble("no restaurants"))
    try:
        with pytest.raises(Trouble, match="no restaurants"):
            parser.start(_command(layout, "native"))
        assert processes.belonging_to(layout.home) == set()
    finally:
        processes.sweep(layout.home)
    assert stack_choice.kept(layout) is None
