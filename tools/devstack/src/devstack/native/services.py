"""The two services: their processes, their variables, their health."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.host import environment
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native.supervisor_config import Program


@dataclass(frozen=True)
class Service:
    """`name` is also its database, its role and its RabbitMQ user."""

    name: str
    port: int
    worker_port: int
    extensions: tuple[str, ...] = ()
    """PostgreSQL extensions that its database needs."""
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
        """The variable with the URL for the role that owns the tables; the API does not get it."""
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
        """The environment without the URLs of other services' data."""
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
    """The API cannot log in as the owner of the tables, and only the API uses the cache."""
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
    """The host at which this machine reaches HTTP_HOST."""
    host = listening_host(env)
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104


def readiness(url: str) -> str:
    """The process's own answer, ready, degraded or unavailable; else why there is none."""
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


def run_once(
    layout: Layout,
    environments: Mapping[str, Mapping[str, str]],
    service: Service,
    *arguments: str,
) -> None:
    """Run a command of the service that ends by itself, such as `seed`; Trouble if it fails."""
    name, *options = arguments
    done = subprocess.run(
        [*command(layout.python, service, name), *options],
        cwd=layout.checkout,
        env=environments[service.name],
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise Trouble(f"{service.folder}: {name} failed, see above", status=done.returncode)
