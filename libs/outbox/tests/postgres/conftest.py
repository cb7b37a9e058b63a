"""No test of this folder speaks to a broker: the address is one where none listens."""

from __future__ import annotations

import pytest


@pytest.fixture
def broker_url() -> str:
    return "amqp://nobody:nothing@127.0.0.1:1/"
