"""`state.json` outlives a reboot, or a killed supervisor; then nothing runs all the same."""

from __future__ import annotations

import argparse
import os

import pytest
from pytest_mock import MockerFixture

from devstack.commands import parser, stack_choice
from devstack.commands.command import Command
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.state import State
from kit.servers.fake_docker import FakeDocker


def _command(layout: Layout, stack: str) -> Command:
    env = {**os.environ, "STACK": stack}
    return Command(argparse.Namespace(), layout, env)


@pytest.fixture
def rebooted(checkout: Layout) -> Layout:
    checkout.prepare()
    stack_choice.keep(checkout, stack_choice.NATIVE)
    State({"orders": "http://127.0.0.1:1", "processor": "http://127.0.0.1:1"}).write(checkout)
    return checkout


@pytest.mark.parametrize("command", [parser.audit, parser.show])
def test_what_needs_a_running_system_says_that_none_runs(
    rebooted: Layout, command: parser.Action
) -> None:
    with pytest.raises(Trouble, match="the system does not run: make start"):
        command(_command(rebooted, "native"))


def test_an_audit_of_containers_that_do_not_run_says_so(
    checkout: Layout, fake_docker: FakeDocker
) -> None:
    with pytest.raises(Trouble, match="the system does not run: make start"):
        parser.audit(_command(checkout, "docker"))
    assert fake_docker.running == []


def test_the_other_stack_may_be_started(rebooted: Layout, fake_docker: FakeDocker) -> None:
    assert _command(rebooted, "docker").stack_to_start()


def test_a_seed_brings_postgresql_up_under_the_lock(
    rebooted: Layout, mocker: MockerFixture
) -> None:
    lock = mocker.patch("devstack.native.stack.exclusive", side_effect=Trouble("locked"))
    with pytest.raises(Trouble, match="locked"):
        parser.seed(_command(rebooted, "native"))
    lock.assert_called_once()
