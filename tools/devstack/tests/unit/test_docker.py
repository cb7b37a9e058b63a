from pathlib import Path

from devstack.docker import images
from devstack.docker.stack import Docker
from devstack.host.layout import Layout

COMPOSE = """
services:
  postgres:
    image: ${POSTGRES_IMAGE:-postgres:17}
    ports: ["127.0.0.1:${POSTGRES_PORT:-5432}:5432"]
  orders-api:
    image: service-orders:local
    build: service-orders
    ports: ["127.0.0.1:${ORDERS_PORT:-8000}:8000"]
"""
DOCKERFILE = """
FROM python:3.13-slim AS build
RUN true
FROM python:3.13-slim
COPY --from=build /x /x
FROM build
"""


def _docker(checkout: Path) -> Docker:
    (checkout / "service-orders").mkdir(parents=True)
    (checkout / "docker-compose.yml").write_text(COMPOSE)
    (checkout / "service-orders" / "Dockerfile").write_text(DOCKERFILE)
    return Docker(Layout(checkout, checkout / ".local"), {"ORDERS_PORT": "20101"})


def test_base_images_are_those_nobody_builds_here(tmp_path: Path) -> None:
    checkout = _docker(tmp_path).layout.checkout
    for env, postgres in (({}, "postgres:17"), ({"POSTGRES_IMAGE": "mine:1"}, "mine:1")):
        needed = images.needed(checkout, "docker-compose.yml", env)
        assert sorted(needed) == sorted([postgres, "python:3.13-slim"])


def test_every_published_port_gets_a_value(tmp_path: Path) -> None:
    found = _docker(tmp_path).published.choose()
    assert set(found) == {"POSTGRES_PORT", "ORDERS_PORT"}
    assert found["ORDERS_PORT"] == "20101"


def test_two_checkouts_are_two_projects(tmp_path: Path) -> None:
    assert _docker(tmp_path / "a").project != _docker(tmp_path / "b").project
