"""The probe's connection to a real RabbitMQ that goes away and comes back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pytest_mock import MockerFixture, MockType

from kit.waiting import eventually
from servicekit.process import broker
from servicekit.process.broker import BrokerIsAway, BrokerProbe, refuse_bad_credentials
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import AmqpUrl
from servicekit.testing import Outage


async def is_up(probe: BrokerProbe) -> bool:
    try:
        await probe.check()
    except BrokerIsAway:
        return False
    return True


async def is_down(probe: BrokerProbe) -> bool:
    return not await is_up(probe)


def tried_in_vain(attempts: MockType) -> Callable[[], Awaitable[bool]]:
    enough = attempts.call_count + 3

    async def tried() -> bool:
        return bool(attempts.call_count >= enough)

    return tried


async def test_the_probe_follows_the_broker_with_one_line_each_way(
    unsteady_broker: AmqpUrl,
    broker_outage: Outage,
    mocker: MockerFixture,
    log_lines: Callable[[], list[dict[str, Any]]],
) -> None:
    mocker.patch.object(broker, "SLOWEST_RETRY", 0.05)
    attempts = mocker.spy(broker, "connect")
    async with BrokerProbe(unsteady_broker, name="toys health") as probe:
        await eventually(lambda: is_up(probe))
        for _ in range(2):
            await broker_outage.begin()
            await eventually(lambda: is_down(probe))
            await eventually(tried_in_vain(attempts))
            await broker_outage.end()
            await eventually(lambda: is_up(probe))
    assert [line["event"] for line in log_lines()] == ["broker_away", "broker_back"] * 2


async def test_a_broker_away_at_the_start_does_not_stop_it(
    unsteady_broker: AmqpUrl, broker_outage: Outage
) -> None:
    await broker_outage.begin()
    await refuse_bad_credentials(unsteady_broker, variable="RABBITMQ_URL")
    async with BrokerProbe(unsteady_broker, name="toys health") as probe:
        assert await is_down(probe)
        await broker_outage.end()
        await eventually(lambda: is_up(probe))


async def test_a_refused_password_stops_the_start_in_one_line(broker_url: str) -> None:
    url = AmqpUrl(broker_url.replace("://", "://nobody:x@").replace("admin:admin-dev-only@", ""))
    with pytest.raises(StartupProblem, match="refuses the user or password") as raised:
        await refuse_bad_credentials(url, variable="RABBITMQ_URL")
    assert "nobody" not in str(raised.value)


async def test_an_unknown_vhost_stops_the_start_in_one_line(broker_url: str) -> None:
    with pytest.raises(StartupProblem, match="refuses this vhost"):
        await refuse_bad_credentials(AmqpUrl(f"{broker_url}-gone"), variable="RABBITMQ_URL")


async def test_good_credentials_are_accepted(broker_url: str) -> None:
    await refuse_bad_credentials(AmqpUrl(broker_url), variable="RABBITMQ_URL")
