"""The servers that `make servers` leaves running, and how tests find them."""

from __future__ import annotations

import os

import pytest
from pytest_mock import MockerFixture

from devstack.commands import servers
from devstack.host.layout import Layout
from kit.servers import addresses

EXPORTS = """\
export TEST_POSTGRES_URL='postgresql://u:p=%40@127.0.0.1:1/postgres'
export TEST_RABBITMQ_URL=amqp://u:p@127.0.0.1:2/%2F
"""
FOUND = {
    "TEST_POSTGRES_URL": "postgresql://u:p=%40@127.0.0.1:1/postgres",
    "TEST_RABBITMQ_URL": "amqp://u:p@127.0.0.1:2/%2F",
}


@pytest.fixture
def left_running(checkout: Layout, mocker: MockerFixture) -> Layout:
    """A checkout in which a supervisor answers."""
    (checkout.home / "servers").mkdir(parents=True)
    (checkout.home / "servers" / "exports").write_text(EXPORTS)
    mocker.patch("devstack.native.supervisor.Supervisor.answers", return_value=True)
    return checkout


def test_running_servers_are_found_by_their_variables(left_running: Layout) -> None:
    assert servers.running(left_running) == FOUND


def test_servers_that_died_with_the_machine_are_not_found(
    left_running: Layout, mocker: MockerFixture
) -> None:
    mocker.stopall()
    assert servers.running(left_running) == {}


def test_a_checkout_without_servers_has_no_variables(checkout: Layout) -> None:
    assert servers.running(checkout) == {}


def test_variables_that_are_set_win(
    left_running: Layout, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mocker.patch("devstack.host.layout.of", return_value=left_running)
    for name in servers.VARIABLES:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TEST_POSTGRES_URL", "postgresql://given")
    addresses.find()
    assert addresses.postgres() == "postgresql://given"
    assert addresses.rabbitmq() == FOUND["TEST_RABBITMQ_URL"]


def test_without_servers_a_test_says_what_to_type(
    checkout: Layout, mocker: MockerFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mocker.patch("devstack.host.layout.of", return_value=checkout)
    monkeypatch.setattr(os, "environ", {})
    addresses.find()
    with pytest.raises(pytest.fail.Exception, match="type `make servers`"):
        addresses.postgres()
