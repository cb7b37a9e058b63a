"""`make outbox` asks the running system without a single address being typed."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from devstack.commands import outbox_command
from devstack.native.services import ORDERS, PROCESSOR, Service
from devstack.native.stack import Native
from devstack.native.system import System
from kit.services.order_client import Shop
from kit.waiting import wait_until

pytestmark = pytest.mark.e2e
UNKNOWN = "01990000-0000-7000-8000-000000000000"


@pytest.fixture
def native(system: System) -> Native:
    system.wait_ready()
    return Native(system.layout, os.environ)


@pytest.mark.parametrize("service", [ORDERS, PROCESSOR])
def test_the_doctor_finds_databases_broker_and_topology(
    native: Native, service: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    assert outbox_command.run(native, service, "doctor --json") == 0
    findings = json.loads(capfd.readouterr().out)["findings"]
    checks = {finding["check"].split()[0] for finding in findings}
    assert {"relay", "broker", "queue", "bindings"} <= checks
    assert "skipped" not in {finding["level"] for finding in findings}


def test_both_sides_are_compared(
    native: Native, shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    shop.place_order()
    shop.wait_until_all_end()
    assert outbox_command.run(native, ORDERS, "reconcile --json") == 0
    compared = json.loads(capfd.readouterr().out)["results"]
    assert "processor.orders" in {result["consumer"] for result in compared}


def test_a_journey_goes_through_both_services(
    native: Native, shop: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    order = shop.place_order()
    shop.wait_until_all_end()

    def is_over() -> bool:
        assert outbox_command.run(native, ORDERS, f"journey {order} --json") == 0
        found.update(json.loads(capfd.readouterr().out))
        return bool(found["is_over"])

    found: dict[str, Any] = {}
    wait_until(is_over)
    events = found["journey"]["events"]
    assert events[0]["event"]["type"] == "order.created"
    assert {one["database"].rpartition("/")[2] for one in events} == {"orders", "processor"}
    [request] = {one["event"]["correlation_id"] for one in events}
    assert request == events[0]["event"]["event_id"]
    applied = [one for event in events for one in event["receptions"]]
    assert {one["state"] for one in applied} == {"applied"}
    assert {one["consumer"] for one in applied} == {"processor.orders", "orders.orders"}


def test_the_exit_status_is_that_of_the_command(native: Native) -> None:
    assert outbox_command.run(native, ORDERS, f"journey {UNKNOWN}") == 1
    assert outbox_command.run(native, ORDERS, "no-such-command") == 2
