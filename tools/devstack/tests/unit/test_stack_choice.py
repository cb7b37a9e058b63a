import argparse
import subprocess
from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from devstack.commands import parser, stack_choice
from devstack.commands.command import Command
from devstack.docker.stack import Docker
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.stack import Native


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / ".local")


def _docker(layout: Layout, mocker: MockerFixture, lack: str) -> Docker:
    docker = Docker(layout, {})
    mocker.patch.object(Docker, "lack", return_value=lack)
    return docker


def test_the_variable_decides(layout: Layout, mocker: MockerFixture) -> None:
    docker = _docker(layout, mocker, "")
    assert stack_choice.for_start(layout, {"STACK": "native"}, docker).stack == "native"


def test_a_stack_that_does_not_exist_is_refused() -> None:
    with pytest.raises(Trouble, match="STACK=podman is neither native nor docker"):
        stack_choice.asked({"STACK": "podman"})


def test_without_docker_it_is_native_and_says_why(layout: Layout, mocker: MockerFixture) -> None:
    docker = _docker(layout, mocker, "docker info does not answer")
    chosen = stack_choice.for_start(layout, {}, docker)
    assert (chosen.stack, chosen.why) == ("native", "docker info does not answer")


def test_docker_is_taken_when_nothing_lacks(layout: Layout, mocker: MockerFixture) -> None:
    assert stack_choice.for_start(layout, {}, _docker(layout, mocker, "")).stack == "docker"


def test_the_kept_choice_holds_although_docker_came_up(
    layout: Layout, mocker: MockerFixture
) -> None:
    stack_choice.keep(layout, "native")
    assert stack_choice.for_start(layout, {}, _docker(layout, mocker, "")).stack == "native"
    assert stack_choice.for_running(layout, {}) == "native"


def test_a_docker_that_hangs_is_no_docker(layout: Layout, mocker: MockerFixture) -> None:
    mocker.patch("subprocess.run", side_effect=subprocess.TimeoutExpired("docker", 5))
    assert Docker(layout, {}).lack() == "docker info does not answer"


def test_a_docker_that_is_gone_is_told_of_in_one_line(checkout: Layout, tmp_path: Path) -> None:
    gone = {"STACK": "docker", "PATH": str(tmp_path)}
    with pytest.raises(Trouble, match="cannot run docker"):
        parser.status(Command(argparse.Namespace(), checkout, gone))


def test_a_docker_that_is_gone_does_not_keep_from_going_native(
    checkout: Layout, tmp_path: Path
) -> None:
    stack_choice.keep(checkout, stack_choice.DOCKER)
    native = {"STACK": "native", "PATH": str(tmp_path)}
    found = Command(argparse.Namespace(), checkout, native).stack_to_start()
    assert isinstance(found, Native)
