"""The operator's console of both services: one process, natively and in a container.

It logs in to the databases as each service does, and to RabbitMQ as a user of its own, who reads
the management API and moves dead letters back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devstack.host import environment
from devstack.host.layout import Layout
from devstack.native import rabbitmq, services
from devstack.native.services import SERVICES, Service
from devstack.native.supervisor import bare
from devstack.native.supervisor_config import Program

NAME = "console"
"""The name of the process, its port and its URL."""
PORT, PORT_VARIABLE = 8002, "CONSOLE_PORT"
HOST_VARIABLE = "CONSOLE_HOST"
_LOGINS = ("CONSOLE_USERS_FILE", "CONSOLE_PROXY_USER_HEADER")
_SHARED = ("APP_ENV", "PYTHONPATH")


@dataclass(frozen=True)
class OwnBroker:
    """The broker that this system starts, with the console's login."""

    url: str
    management_url: str

    @classmethod
    def of(cls, node: rabbitmq.RabbitMQ) -> "OwnBroker":
        name, password = rabbitmq.MONITOR, rabbitmq.MONITOR_PASSWORD
        pages = node.management_url.replace("://", f"://{name}:{password}@", 1)
        return cls(node.url(name, password), pages)


def is_wanted(env: Mapping[str, str]) -> bool:
    """Whether somebody can log in: production knows no login of development."""
    return env.get("APP_ENV") != "production" or any(env.get(name) for name in _LOGINS)


def login(env: Mapping[str, str]) -> str:
    """How one logs in, as the end of the start prints it."""
    given = next((name for name in _LOGINS if env.get(name)), None)
    return f"as {given} says" if given else "operator / operator-dev-only"


def insisted_port(env: Mapping[str, str]) -> int | None:
    """The port that the user has set."""
    return environment.number(env, PORT_VARIABLE, PORT) if env.get(PORT_VARIABLE) else None


def host(env: Mapping[str, str]) -> str:
    """The address that it listens on."""
    return env.get(HOST_VARIABLE, "").strip() or "127.0.0.1"


def url(port: int, env: Mapping[str, str]) -> str:
    """The URL at which this machine reaches it."""
    return f"http://{services.reachable_host({'HTTP_HOST': host(env)})}:{port}"


def program(
    layout: Layout,
    env: Mapping[str, str],
    port: int,
    environments: Mapping[str, Mapping[str, str]],
    broker: OwnBroker | None,
) -> Program:
    """The program. `environments` are the services' own, by name."""
    told = {
        "CONSOLE_SERVICES": _by_name(lambda s: environments[s.name][s.database_variable]),
        "CONSOLE_BROKERS": _by_name(lambda s: environments[s.name]["RABBITMQ_URL"]),
        "CONSOLE_APPS": _by_name(lambda s: f"{s.module}.bootstrap:TOPOLOGY"),
    }
    if broker:
        told["CONSOLE_BROKERS"] = _by_name(lambda _: broker.url)
        told["CONSOLE_MANAGEMENT"] = _by_name(lambda _: broker.management_url)
    mine = {n: v for n, v in env.items() if v and (n.startswith("CONSOLE_") or n in _SHARED)}
    form = [] if env.get("LOG_FORMAT") == "console" else ["--json"]
    argv = [str(layout.python), "-m", "outbox.cli", "console", *form]
    variables = {**bare(), **told, **mine, PORT_VARIABLE: str(port)}
    return Program(NAME, argv, variables, layout.checkout, stop_seconds=12)


def in_containers(env: Mapping[str, str]) -> dict[str, str]:
    """Variables for Compose: without a login it starts no container for it."""
    return {} if is_wanted(env) else {"CONSOLE_REPLICAS": "0"}


def _by_name(value: Callable[[Service], str]) -> str:
    return " ".join(f"{service.name}={value(service)}" for service in SERVICES)
