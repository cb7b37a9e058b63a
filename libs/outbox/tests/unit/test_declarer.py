"""A relay that checks its topology beside a broker that may be blocked meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from pytest_mock import MockerFixture

from outbox.publisher.open import ensure_topology
from outbox.rabbitmq.declarer import Declarer
from outbox.rabbitmq.topology import Topology


@pytest.fixture
def declarer(mocker: MockerFixture) -> Declarer:
    mocker.patch("outbox.publisher.open.is_blocked", return_value=False)
    declarer = mocker.create_autospec(Declarer, instance=True)
    declarer.lock = asyncio.Lock()
    wire = mocker.Mock(is_closed=False)
    declarer.channel.return_value.get_underlay_channel = mocker.AsyncMock(return_value=wire)
    return declarer


async def test_a_broker_that_was_blocked_while_it_was_asked_is_asked_again(
    declarer: Declarer, mocker: MockerFixture
) -> None:
    topology = mocker.create_autospec(Topology, instance=True)
    topology.prove_hand_off.side_effect = [TimeoutError, None]
    await ensure_topology(topology, declarer)
    assert topology.prove_hand_off.await_count == 2


async def test_a_broker_that_is_silent_twice_is_lost(
    declarer: Declarer, mocker: MockerFixture
) -> None:
    topology = mocker.create_autospec(Topology, instance=True)
    topology.prove_hand_off.side_effect = TimeoutError
    with pytest.raises(TimeoutError):
        await ensure_topology(topology, declarer)
    assert topology.prove_hand_off.await_count == 2
