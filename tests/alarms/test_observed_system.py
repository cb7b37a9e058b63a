"""`OBSERVE=1` brings a Prometheus that knows all processes, and takes it away again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import yaml

from devstack.host import processes
from devstack.native.system import CHECKOUT, Layout, System
from kit.servers.prometheus_server import GIVEN, PrometheusServer, program
from kit.services.order_client import Shop
from kit.waiting import wait_until

PROCESSES = [(name, role) for name in ("orders", "processor") for role in ("api", "worker")]


def test_a_system_that_is_observed_shows_its_processes_queues_and_alarms(tmp_path: Path) -> None:
    program("prometheus")
    layout = Layout(CHECKOUT, tmp_path / "system")
    env = {"OBSERVE": "1", "LOG_LEVEL": "WARNING"}
    with System(layout, env=env, durable=False) as system:
        prometheus = PrometheusServer(system.urls["prometheus"], layout.home / "prometheus")
        assert system.versions["Prometheus"][0].isdigit()
        shop = Shop(system)
        assert shop.place_order()
        shop.wait_until_all_end()
        for expression in (
            *(f'up{{service="{service}", role="{role}"}} == 1' for service, role in PROCESSES),
            'up{job="rabbitmq"} == 1',
            'inbox_events_total{consumer="processor.orders", decision="apply"} > 0',
            'rabbitmq_detailed_queue_consumers{queue="processor.orders"} > 0',
        ):
            wait_until(partial(has_value, prometheus, expression))
        assert _alarms_known_to(prometheus) == _alarms_of_the_checkout()
        wait_until(partial(is_quiet, prometheus))
    assert processes.belonging_to(layout.home) == set()


def is_quiet(prometheus: PrometheusServer) -> bool:
    """Whether no alarm fires, or would if what it sees now went on."""
    return not prometheus.get("alerts")["alerts"]


def has_value(prometheus: PrometheusServer, expression: str) -> bool:
    return prometheus.query(expression) != []


def _alarms_known_to(prometheus: PrometheusServer) -> set[str]:
    return {rule["name"] for group in prometheus.get("rules")["groups"] for rule in group["rules"]}


def _alarms_of_the_checkout() -> set[str]:
    groups = yaml.safe_load((GIVEN / "rules.yml").read_text())["groups"]
    return {rule["alert"] for group in groups for rule in group["rules"]}
