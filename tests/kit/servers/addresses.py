"""Where the servers for the tests are. `make test` starts them and sets these variables."""

from __future__ import annotations

import os

import pytest


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
            f"this test needs a server, and {name} is not set: run it by `make test`, or set the"
            " variables by `eval $(make test-env)` first (docs/running.md)",
            pytrace=False,
        )
    return value
