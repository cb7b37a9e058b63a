"""`make outbox` runs the command `outbox` for one service of the running system.

The service's database is the producer's, the other service's database is the consumer's. Options
on the command line win, because they fall back to the variables that are set here.
"""

import shlex
import subprocess
import sys

from devstack.docker import passwords
from devstack.docker.stack import Docker
from devstack.host.errors import Trouble
from devstack.native import rabbitmq
from devstack.native.services import SERVICES, Service
from devstack.native.stack import Native

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
    """Run it in the API's container, which needs no broker."""
    places = {
        OWN: _secret_of(docker, service, service.database_variable),
        OTHER: _secret_of(docker, other, other.database_variable),
        BROKER: _secret_of(docker, service, BROKER),
        APP: _topology(service),
        **_management(docker),
    }
    names = [
        word for name in places for word in ("-e", name)
    ]  # values stay out of the command line
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    options = names if on_terminal else ["-T", *names]
    env = {**docker.env, **places}
    return docker.compose(
        "exec", *options, f"{service.name}-api", "outbox", *words, env=env, asks=True
    ).returncode


def _secret_of(docker: Docker, service: Service, variable: str) -> str:
    """The URL that the container has, in its variable or in the file that `…_FILE` names."""
    said = f'echo "${{{variable}:-$(cat "${variable}_FILE")}}"'
    words = ("exec", "-T", f"{service.name}-api", "sh", "-c", said)
    found = docker.compose(*words, quiet=True).stdout.strip()
    if not found:
        raise Trouble(f"{service.name}-api does not run: make status, make start")
    return found


def _management(docker: Docker) -> dict[str, str]:
    """The management URL of the container, unless the broker is another one."""
    if docker.env.get(BROKER):
        found = docker.env.get(MANAGEMENT, "")
        return {MANAGEMENT: found} if found else {}
    password = passwords.of_admin(docker.layout.checkout, docker.env)
    return {MANAGEMENT: f"http://{rabbitmq.ADMIN}:{password}@rabbitmq:15672"}


def _topology(service: Service) -> str:
    return f"{service.module}.bootstrap:application"
