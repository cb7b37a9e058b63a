"""The stand-ins for external systems: one process, with neither a schema nor a worker."""

from collections.abc import Mapping
from pathlib import Path

from devstack.host import environment
from devstack.host.layout import Layout
from devstack.native import services
from devstack.native.supervisor_config import Program

NAME = "stubs"
"""The name of the process, its port and its URL."""
PORT, PORT_VARIABLE = 3629, "STUBS_PORT"
ADDRESS_VARIABLE = "EXTERNAL_BASE_URL"
"""When this variable is set, no stand-ins run."""


def are_wanted(env: Mapping[str, str]) -> bool:
    """Whether stand-ins run; production has real systems or none."""
    return not env.get(ADDRESS_VARIABLE) and env.get("APP_ENV") != "production"


def insisted_port(env: Mapping[str, str]) -> int | None:
    """The port that the user has set."""
    return environment.number(env, PORT_VARIABLE, PORT) if env.get(PORT_VARIABLE) else None


def url(port: int, env: Mapping[str, str]) -> str:
    """The URL of the stand-ins for services and tests."""
    return f"http://{services.reachable_host(env)}:{port}"


def program(layout: Layout, env: Mapping[str, str], port: int) -> Program:
    """The program; its ledger lies in the system's folder, beside the databases."""
    ledger = layout.home / "stubs" / "ledger.sqlite"
    own = {PORT_VARIABLE: str(port), "STUBS_LEDGER": str(ledger)}
    argv: list[str] = [str(layout.python), "-m", "service_stubs", "api"]
    return Program(NAME, argv, {**env, **own}, Path(layout.checkout), stop_seconds=12)


def in_containers(env: Mapping[str, str]) -> dict[str, str]:
    """Variables for Compose: without stand-ins, it starts no container for them."""
    return {} if are_wanted(env) else {"STUBS_REPLICAS": "0"}
