"""PostgreSQL and RabbitMQ for `STACK=docker make test`, removed after the run."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from devstack.docker.stack import Docker
from devstack.host import processes
from devstack.host.errors import Trouble
from devstack.host.layout import Layout, make_readable
from devstack.host.waiting import undisturbed
from devstack.native import rabbitmq

FILE = "docker-compose.test.yml"
_PREFIX = "docker-test-"


@contextmanager
def running(layout: Layout, env: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    """Yields their URLs. Each run has its own Compose project, named by the pid of its command."""
    _sweep_old(layout, env)
    docker = _of_run(layout, env, os.getpid())
    try:
        ports = docker.published.choose()
        names = ("postgres", "rabbitmq")
        make_readable(layout.checkout / "deploy")
        if docker.compose("up", "-d", "--wait", *names, env={**docker.env, **ports}).returncode:
            raise Trouble("the containers for the tests did not get ready: see above")
        yield _urls(docker)
    finally:
        with undisturbed():
            docker.remove()


def _of_run(layout: Layout, env: Mapping[str, str], pid: int) -> Docker:
    return Docker(layout, env, FILE, f"-test-{pid}")


def _sweep_old(layout: Layout, env: Mapping[str, str]) -> None:
    """Remove the containers that killed runs left."""
    for folder in layout.home.glob(f"{_PREFIX}*"):
        run = folder.name.removeprefix(_PREFIX)
        if run.isdecimal() and not processes.is_command(int(run), "devstack"):
            _of_run(layout, env, int(run)).remove()


def _urls(docker: Docker) -> dict[str, str]:
    """The URLs of the test containers, with the logins of their compose file."""
    said = docker.compose("config", "--format", "json", quiet=True).stdout
    services = json.loads(said)["services"]
    pg, mq = (services[name].get("environment") or {} for name in ("postgres", "rabbitmq"))
    login = (
        f"{mq.get('RABBITMQ_DEFAULT_USER', rabbitmq.ADMIN)}:"
        f"{mq.get('RABBITMQ_DEFAULT_PASS', rabbitmq.ADMIN_PASSWORD)}"
    )
    superuser = f"{pg.get('POSTGRES_USER', 'postgres')}:{pg.get('POSTGRES_PASSWORD', 'postgres')}"
    database = pg.get("POSTGRES_DB", "postgres")
    inside = [("postgres", 5432), ("rabbitmq", 5672), ("rabbitmq", 15672)]
    at = {place: f"127.0.0.1:{docker.port(*place)}" for place in inside}
    return {
        "TEST_POSTGRES_URL": f"postgresql://{superuser}@{at['postgres', 5432]}/{database}",
        "TEST_RABBITMQ_URL": f"amqp://{login}@{at['rabbitmq', 5672]}/%2F",
        "TEST_RABBITMQ_MANAGEMENT_URL": f"http://{login}@{at['rabbitmq', 15672]}",
    }
