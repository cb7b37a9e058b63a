"""`make outbox`: the command `outbox` for one service, told where the running system is.

The service's own database is the producer's, the other service's the consumer's. What is said on
the command line wins, because these are the variables that its options fall back to.
"""

import shlex
import subprocess
import sys
from collections.abc import Mapping

from devstack import rabbitmq
from devstack.docker import Docker
from devstack.errors import Trouble
from devstack.native import Native
from devstack.services import SERVICES, Service

OWN, OTHER, BROKER, APP = "DATABASE_URL", "CONSUMER_DATABASE_URL", "RABBITMQ_URL", "OUTBOX_APP"
MANAGEMENT = "RABBITMQ_MANAGEMENT_URL"
_LOGIN = f"http://{rabbitmq.ADMIN}:{rabbitmq.ADMIN_PASSWORD}@"


def run(stack: Native | Docker, service: Service, arguments: str) -> int:
    """The exit status of `outbox` with these arguments."""
    try:
        words = shlex.split(arguments)
    except ValueError as problem:
        raise Trouble(f"ARGS={arguments}: {problem}", status=2) from problem
    [other] = [one for one in SERVICES if one != service]
    if isinstance(stack, Docker):
        return _in_container(stack, service, other, words)
    return _as_process(stack, service, other, words)


def _as_process(native: Native, service: Service, other: Service, words: list[str]) -> int:
    state = native.running()
    if state is None:
        raise Trouble("the system does not run: make start")
    settings = state.environment
    places = {
        OWN: settings[service.name][service.database_variable],
        OTHER: settings[other.name][other.database_variable],
        BROKER: settings[service.name][BROKER],
        APP: _topology(service),
    }
    if "management" in state.urls:
        places[MANAGEMENT] = state.urls["management"].replace("http://", _LOGIN)
    command = [str(native.layout.python.with_name("outbox")), *words]
    env = {**native.env, **places}
    return subprocess.run(command, cwd=native.layout.checkout, env=env, check=False).returncode


def _in_container(docker: Docker, service: Service, other: Service, words: list[str]) -> int:
    """In that of the API, which needs no broker; it has the broker's address already."""
    places = {OWN: _database(docker, service), OTHER: _database(docker, other)}
    places |= {APP: _topology(service), **_management(docker.env)}
    names = [word for name in places for word in ("-e", name)]  # values are nobody's to see
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    options = names if on_terminal else ["-T", *names]
    env = {**docker.env, **places}
    return docker.compose(
        "exec", *options, f"{service.name}-api", "outbox", *words, env=env, asks=True
    ).returncode


def _database(docker: Docker, service: Service) -> str:
    """As its container has it."""
    words = ("exec", "-T", f"{service.name}-api", "printenv", service.database_variable)
    found = docker.compose(*words, quiet=True).stdout.strip()
    if not found:
        raise Trouble(f"{service.name}-api does not run: make status, make start")
    return found


def _management(env: Mapping[str, str]) -> dict[str, str]:
    """That of the container, unless the broker is another."""
    ours = "" if env.get(BROKER) else f"{_LOGIN}rabbitmq:15672"
    found = ours or env.get(MANAGEMENT, "")
    return {MANAGEMENT: found} if found else {}


def _topology(service: Service) -> str:
    return f"{service.module}.bootstrap:application"
