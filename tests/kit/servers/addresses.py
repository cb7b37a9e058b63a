"""Where the servers for the tests are: variables name them, or `make servers` started them."""

from __future__ import annotations

import os

import pytest

from devstack.commands import servers
from devstack.host import layout


def find() -> None:
    """Set the variables that are not set, if `make servers` left servers running.

    They are set in the environment, so that programs that a test starts find them too.
    """
    if not all(os.environ.get(name) for name in servers.VARIABLES):
        for name, url in servers.running(layout.of()).items():
            os.environ[name] = os.environ.get(name) or url


def postgres() -> str:
    """The URL of a superuser, who makes a database for each test."""
    return _variable("TEST_POSTGRES_URL")


def rabbitmq() -> str:
    """The URL of an administrator."""
    return _variable("TEST_RABBITMQ_URL")


def rabbitmq_management() -> str:
    """The URL of the management API, with the administrator's login."""
    return _variable("TEST_RABBITMQ_MANAGEMENT_URL")


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.fail(
            "this test needs PostgreSQL or RabbitMQ, and none is running for tests: type"
            f" `make servers`, or set {name} (docs/running.md)",
            pytrace=False,
        )
    return value
