"""What `docker-compose.yml` promises of every container: bounds, networks, and whose secrets."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

import service_orders.settings
import service_processor.settings
from servicekit.process.settings import ProcessSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
NETWORKS = {name: set(service["networks"]) for name, service in SERVICES.items()}
OBSERVING = {name for name, service in SERVICES.items() if "observe" in service.get("profiles", ())}
DOCKERFILES = [*ROOT.glob("service-*/Dockerfile"), *ROOT.glob("deploy/*/Dockerfile")]
SHARED = {"jaeger", "postgres", "prometheus", "rabbitmq", "stubs"}


def mates(name: str) -> set[str]:
    """Which containers one can reach."""
    return {other for other, nets in NETWORKS.items() if nets & NETWORKS[name]} - {name}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert {"mem_limit", "cpus", "pids_limit"} <= service.keys()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_published_is_published_on_loopback(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_services_do_not_reach_each_other() -> None:
    orders = {name for name in SERVICES if name.startswith("orders-")}
    processor = {name for name in SERVICES if name.startswith("processor-")}
    for name in orders:
        assert mates(name) - {"redis"} <= orders | SHARED
    for name in processor:
        assert mates(name) <= processor | SHARED
    assert mates("redis") == {"orders-api"}


def test_who_observes_is_started_on_request_and_gets_no_secret() -> None:
    assert {"prometheus", "grafana", "jaeger"} == OBSERVING
    for name in OBSERVING:
        assert "secrets" not in SERVICES[name]
        mounts = SERVICES[name].get("volumes", ())
        assert all(":ro" in mount for mount in mounts if mount.startswith("./"))
    assert mates("grafana") == {"prometheus", "jaeger"}


def test_the_console_reaches_the_servers_and_no_service() -> None:
    """See decision 1915."""
    assert mates("console") == {"postgres", "rabbitmq"}
    assert set(SERVICES["console"]["secrets"]) == {
        "console_brokers",
        "console_management",
        "console_services",
    }


def test_a_process_is_given_the_logins_it_uses() -> None:
    own = {
        "orders-api": {"database_url_orders", "rabbitmq_url_orders", "redis_url_orders"},
        "processor-api": {"database_url_processor", "rabbitmq_url_processor"},
    }
    for name in ("orders", "processor"):
        owner = {f"database_owner_url_{name}", f"database_url_{name}", f"rabbitmq_url_{name}"}
        own |= {f"{name}-{role}": owner for role in ("migrate", "worker")}
    own["processor-seed"] = own["processor-api"]
    assert {name: set(SERVICES[name]["secrets"]) for name in own} == own


def test_an_image_loads_opentelemetry_from_where_its_python_installs_it() -> None:
    for file in ROOT.glob("service-*/Dockerfile"):
        text = file.read_text()
        if "traces.txt" in text:
            [python] = re.findall(r"^FROM python:(\d+\.\d+)", text, re.MULTILINE)
            assert f"\nENV PYTHONPATH=/usr/local/lib/python{python}/" in text


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_the_build_is_sent_all_that_an_image_copies(dockerfile: Path) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    for copied in re.findall(r"^COPY (.+) \S+$", dockerfile.read_text(), re.MULTILINE):
        for path in copied.split():
            parents = [path.rstrip("/"), path.partition("/")[0]]
            assert any(fnmatch(one, kept) for one in parents for kept in sent), path


def test_no_password_is_in_the_file() -> None:
    """Neither of a command, where `ps` shows it, nor of an environment (`docker inspect`)."""
    assert "dev-only" not in TEXT
    assert "requirepass" not in TEXT


def test_images_are_of_a_version_that_was_run() -> None:
    """RabbitMQ 4.3 stops queues with a single active consumer (rabbitmq-server#17317)."""
    dockerfiles = [file.read_text() for file in DOCKERFILES]
    assert {text.partition("FROM ")[2].split()[0] for text in dockerfiles} == {
        "python:3.13-slim-trixie"
    }
    for file in ("docker-compose.yml", "docker-compose.test.yml"):
        services = yaml.safe_load((ROOT / file).read_text())["services"]
        assert services["rabbitmq"]["image"] == "${RABBITMQ_IMAGE:-rabbitmq:4.0-management}"
        assert services["postgres"]["image"] == "${POSTGRES_IMAGE:-postgres:17-trixie}"


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("orders", service_orders.settings.Settings),
        ("processor", service_processor.settings.Settings),
    ],
)
def test_every_setting_reaches_a_container(name: str, settings: type[ProcessSettings]) -> None:
    """Except where it listens, which is decided here."""
    told = {
        variable
        for role in ("api", "worker")
        for variable in SERVICES[f"{name}-{role}"]["environment"]
    }
    wanted = {
        str(field.validation_alias or one.upper()) for one, field in settings.model_fields.items()
    }
    ports = {variable for variable in wanted if variable.endswith("_PORT")}
    assert wanted - ports - {"HTTP_HOST"} - told == set()
