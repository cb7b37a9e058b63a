"""OBSERVE=1: Prometheus natively, the profile `observe` in Docker, and neither without it."""

import json
import os
from pathlib import Path

import pytest

from devstack.docker import images
from devstack.docker.stack import Docker
from devstack.host.errors import Trouble
from devstack.host.layout import CHECKOUT, Layout
from devstack.native import prometheus, summary
from devstack.native.addresses import NAMES
from devstack.native.infrastructure import Wanted
from devstack.native.prometheus import Prometheus
from kit.servers.fake_docker import FakeDocker

PORTS = {name: number for number, name in enumerate(NAMES, start=8000)}
COMPOSE = """
services:
  postgres:
    image: postgres:17
  grafana:
    profiles: [observe]
    image: grafana/grafana:12
networks:
  orders:
"""


def test_prometheus_is_started_only_if_it_is_asked_for() -> None:
    assert not Wanted.by({}).prometheus
    assert not Wanted.by({"OBSERVE": "0"}).prometheus
    assert Wanted.by({"OBSERVE": "1"}).prometheus
    with pytest.raises(Trouble, match="OBSERVE=yes is neither 1 nor 0"):
        Wanted.by({"OBSERVE": "yes"})


def test_each_process_is_asked_under_its_own_labels() -> None:
    found = prometheus.targets({**PORTS, "rabbitmq-metrics": 15692}, {}, broker=True)
    asked = {(one["targets"][0], *one["labels"].values()) for one in found["services"]}  # type: ignore[index, attr-defined]
    assert asked == {
        (f"127.0.0.1:{PORTS[f'{service}-{role}']}", service, role)
        for service in ("orders", "processor")
        for role in ("api", "worker")
    }
    assert found["rabbitmq"] == [{"targets": ["127.0.0.1:15692"]}]


def test_a_broker_of_somebody_else_is_not_asked() -> None:
    """Even if an earlier start has kept the port of its own."""
    found = prometheus.targets({**PORTS, "rabbitmq-metrics": 15692}, {}, broker=False)
    assert found["rabbitmq"] == []


def test_it_reads_the_rules_of_the_checkout_and_its_own_addresses(tmp_path: Path) -> None:
    own = prometheus.targets(PORTS, {"HTTP_HOST": "0.0.0.0"}, broker=False)
    server = Prometheus(Layout(CHECKOUT, tmp_path), "prometheus", 9090, own)
    server.prepare()
    for name in ("prometheus.yml", "rules.yml"):
        given = CHECKOUT / "deploy" / "prometheus" / name
        assert (tmp_path / "prometheus" / name).read_text() == given.read_text()
    written = json.loads((tmp_path / "prometheus" / "services.json").read_text())
    assert written[0]["targets"] == [f"127.0.0.1:{PORTS['orders-api']}"]
    assert "--web.listen-address=127.0.0.1:9090" in server.program({}).argv


def test_the_end_of_a_start_says_where_it_is() -> None:
    urls = {"orders": "o", "processor": "p", "prometheus": "http://127.0.0.1:9090"}
    lines = summary.lines(urls, {}, {}, "native")
    assert any("http://127.0.0.1:9090/alerts" in line for line in lines)


def test_images_of_the_profile_are_needed_only_with_it(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_text(COMPOSE)
    for env, needed in (
        ({}, ["postgres:17"]),
        ({"OBSERVE": "1"}, ["grafana/grafana:12", "postgres:17"]),
    ):
        assert images.needed(tmp_path, "docker-compose.yml", env) == needed


@pytest.mark.parametrize(("observe", "profile"), [("0", None), ("1", "observe")])
def test_a_start_in_docker_has_the_profile_only_if_it_is_asked_for(
    checkout: Layout, fake_docker: FakeDocker, observe: str, profile: str | None
) -> None:
    docker = Docker(checkout, {**os.environ, "OBSERVE": observe})
    docker.compose("up")
    docker.compose("down")
    assert fake_docker.last("up").env.get("COMPOSE_PROFILES") == profile
    assert fake_docker.last("down").env["COMPOSE_PROFILES"] == "observe"
