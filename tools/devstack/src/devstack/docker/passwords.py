"""The files with the containers' passwords: those of development, or a folder of your own.

The files for a server (hashes, rights) and for its clients (URLs) are made together, so that they
match. `SECRETS_DIR` names the folder, also for docker-compose.yml.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.host.errors import Trouble
from devstack.native import rabbitmq, redis
from devstack.native.services import SERVICES, Service

VARIABLE, DEVELOPMENT = "SECRETS_DIR", "deploy/secrets"
_ADMIN = "rabbitmq_admin_password"


def folder(checkout: Path, env: Mapping[str, str]) -> Path:
    """The folder that this environment names."""
    return checkout / (env.get(VARIABLE) or DEVELOPMENT)


def of_admin(checkout: Path, env: Mapping[str, str]) -> str:
    """The password of the containers' RabbitMQ administrator."""
    file = folder(checkout, env) / _ADMIN
    try:
        return file.read_text().strip()
    except OSError as problem:
        raise Trouble(
            f"cannot read {file}: {problem.strerror} ({VARIABLE} names its folder)"
        ) from (problem)


def login(checkout: Path, env: Mapping[str, str]) -> str:
    """The login as it is printed; a password of your own is never shown."""
    if env.get(VARIABLE):
        return f"{rabbitmq.ADMIN}, its password in {folder(checkout, env) / _ADMIN}"
    return f"{rabbitmq.ADMIN} / {rabbitmq.ADMIN_PASSWORD}"


def make(checkout: Path, env: Mapping[str, str]) -> Path:
    """Fill the folder that `SECRETS_DIR` names with random passwords; it must be new."""
    if not env.get(VARIABLE):
        raise Trouble(f"name a new folder: {VARIABLE}=/a/new/folder make secrets", status=2)
    place = folder(checkout, env)
    try:
        place.mkdir(mode=0o700, parents=True)
        for name, text in files(lambda _: secrets.token_urlsafe(24)).items():
            (place / name).write_text(text)
            (place / name).chmod(0o444)  # for the containers' users; the folder is closed to others
    except OSError as problem:
        raise Trouble(f"cannot make {place}: {problem.strerror}") from problem
    return place


def files(password: Callable[[str], str]) -> dict[str, str]:
    """The contents by file name. `password` is called per login and returns URL-safe text."""
    users = (rabbitmq.ADMIN, rabbitmq.MONITOR, *(service.name for service in SERVICES))
    broker = {name: password(name) for name in users}
    made = {
        "postgres_password": password("postgres"),
        _ADMIN: broker[rabbitmq.ADMIN],
        "rabbitmq_definitions.json": json.dumps(rabbitmq.definitions(broker.__getitem__), indent=2),
    }
    for service in SERVICES:
        made |= _of(service, password, broker[service.name])
    made |= _of_console(made, broker[rabbitmq.MONITOR])
    return {name: f"{text.rstrip()}\n" for name, text in made.items()}


def _of_console(made: Mapping[str, str], of_monitor: str) -> dict[str, str]:
    """A line for each service: its own login at the database, and the console's at the broker."""
    broker = f"amqp://{rabbitmq.MONITOR}:{of_monitor}@rabbitmq:5672/%2F"
    management = f"http://{rabbitmq.MONITOR}:{of_monitor}@rabbitmq:15672"
    lines = {
        "console_services": {s.name: made[f"database_url_{s.name}"] for s in SERVICES},
        "console_brokers": {s.name: broker for s in SERVICES},
        "console_management": {s.name: management for s in SERVICES},
    }
    return {
        name: "\n".join(f"{service}={url}" for service, url in urls.items())
        for name, urls in lines.items()
    }


def _of(service: Service, password: Callable[[str], str], at_broker: str) -> dict[str, str]:
    name = service.name
    data, owner = password(name), password(f"{name}-owner")
    made = {
        f"database_url_{name}": f"postgresql://{name}:{data}@postgres:5432/{name}",
        f"database_owner_url_{name}": f"postgresql://{name}_owner:{owner}@postgres:5432/{name}",
        f"rabbitmq_url_{name}": f"amqp://{name}:{at_broker}@rabbitmq:5672/%2F",
    }
    if service.has_cache:
        cache = password(name)
        made[f"redis_url_{name}"] = f"redis://{name}:{cache}@redis:6379/0"
        made["redis_users.acl"] = redis.users(name, cache)
    return made
