"""One Prometheus for all tests of this folder: it asks the tests' own process, and RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client import REGISTRY, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from kit.alarms import Alarms
from kit.outbox.world import World, open_world
from kit.servers import addresses
from kit.servers.prometheus_server import Addresses, PrometheusServer, running_prometheus
from outbox import metrics
from outbox.outages import OUTAGES


@pytest.fixture(scope="session")
def own_metrics() -> Iterator[Addresses]:
    """What the tests' own process exports."""
    server, thread = start_http_server(0, "127.0.0.1", REGISTRY)
    labels = {"service": "tests", "role": "worker"}
    yield [{"targets": [f"127.0.0.1:{server.server_port}"], "labels": labels}]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="session")
def prometheus(
    own_metrics: Addresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusServer]:
    targets: dict[str, Addresses] = {
        "services": own_metrics,
        "rabbitmq": [{"targets": [_of_rabbitmq()]}],
    }
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), targets) as running:
        yield running


def _of_rabbitmq() -> str:
    """Where the plugin rabbitmq_prometheus listens."""
    management = addresses.rabbitmq_management()
    listeners = httpx.get(f"{management}/api/overview", timeout=30).json()["listeners"]
    [port] = [one["port"] for one in listeners if one["protocol"] == "http/prometheus"]
    return f"{urlsplit(management).hostname}:{port}"


@pytest.fixture
def alarms(prometheus: PrometheusServer, own_metrics: Addresses) -> Iterator[Alarms]:
    """A gauge keeps its last value when its part of the process has ended, so all are cleared."""
    yield Alarms(prometheus, own_metrics)
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase) and metric._labelnames:
            metric.clear()


@pytest.fixture
async def world(broker_url: str) -> AsyncIterator[World]:
    OUTAGES.forget()
    async with open_world(addresses.postgres(), broker_url) as world:
        yield world
