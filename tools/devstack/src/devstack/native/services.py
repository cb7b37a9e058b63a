"""The two services: their processes, their variables, their health."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.host import environment
from devstack.native.supervisor_config import Program


@dataclass(frozen=True)
class Service:
    """`name` is also its database, its role and its RabbitMQ user."""

    name: str
    port: int
    worker_port: int
    extensions: tuple[str, ...] = ()
    """Of PostgreSQL, in its database."""
    has_cache: bool = False
    """Whether it uses Redis."""

    @property
    def module(self) -> str:
        return f"service_{self.name}"

    @property
    def folder(self) -> str:
        return f"service-{self.name}"

    @property
    def database_variable(self) -> str:
        return f"DATABASE_URL_{self.name.upper()}"

    @property
    def owner_variable(self) -> str:
        """Where the database is for the role that owns the tables; not for the API."""
        return f"DATABASE_OWNER_URL_{self.name.upper()}"

    @property
    def port_variable(self) -> str:
        return f"{self.name.upper()}_PORT"

    @property
    def worker_port_variable(self) -> str:
        return f"{self.name.upper()}_WORKER_PORT"

    @property
    def password(self) -> str:
        return f"{self.name}-dev-only"

    @property
    def owner_password(self) -> str:
        return f"{self.name}-owner-dev-only"

    def own(self, env: Mapping[str, str]) -> dict[str, str]:
        """Without what is set but not this service's to know: where others keep their data."""
        others = [one for one in SERVICES if one != self]
        foreign = {name for one in others for name in (one.database_variable, one.owner_variable)}
        if not self.has_cache:
            foreign.add("REDIS_URL")
        return {name: value for name, value in env.items() if value and name not in foreign}


ORDERS = Service("orders", port=8000, worker_port=8010, has_cache=True)
PROCESSOR = Service("processor", port=8001, worker_port=8011, extensions=("btree_gist",))
SERVICES = (ORDERS, PROCESSOR)
ROLES = ("api", "worker")


def named(name: str) -> Service | None:
    return next((service for service in SERVICES if service.name == name), None)


def program_name(service: Service, role: str) -> str:
    return f"{service.name}-{role}"


PROGRAMS = [program_name(service, role) for role in ROLES for service in SERVICES]


def command(python: Path, service: Service, role: str) -> list[str]:
    return [str(python), "-m", service.module, role]


def program(
    python: Path, folder: Path, service: Service, role: str, env: Mapping[str, str]
) -> Program:
    """The API, which answers whoever calls, cannot log in as the tables' owner; only it caches."""
    name = program_name(service, role)
    hidden = service.owner_variable if role == "api" else "REDIS_URL"
    told = {variable: value for variable, value in env.items() if variable != hidden}
    return Program(name, command(python, service, role), told, folder, stop_seconds=12)


def port_of(service: Service, role: str, env: Mapping[str, str]) -> int:
    if role == "api":
        return environment.number(env, service.port_variable, service.port)
    return environment.number(env, service.worker_port_variable, service.worker_port)


def listening_host(env: Mapping[str, str]) -> str:
    return env.get("HTTP_HOST", "").strip() or "127.0.0.1"


def reachable_host(env: Mapping[str, str]) -> str:
    """Where this machine reaches what listens on HTTP_HOST."""
    host = listening_host(env)
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104


def readiness(url: str) -> str:
    """ready, degraded or unavailable as the process itself says, else why it does not say."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=3) as answer:  # noqa: S310
            body = json.load(answer)
    except urllib.error.HTTPError as refusal:
        body = _body(refusal)
    except (OSError, ValueError) as problem:
        return f"no answer ({getattr(problem, 'reason', problem)})"
    return str(body.get("status", "no status")) + _down(body)


def _body(refusal: urllib.error.HTTPError) -> dict[str, object]:
    try:
        found = json.load(refusal)
    except ValueError:
        return {"status": f"HTTP {refusal.code}"}
    return found if isinstance(found, dict) else {}


def _down(body: Mapping[str, object]) -> str:
    """` (broker: down)`: the checks that are not up."""
    checks = body.get("checks")
    if not isinstance(checks, dict):
        return ""
    states = {name: check.get("state") for name, check in checks.items() if isinstance(check, dict)}
    bad = [f"{name}: {state}" for name, state in states.items() if state != "up"]
    return f" ({', '.join(bad)})" if bad else ""
