"""The files that containers log in by: those of development, or a folder of your own.

What a server is told (hashes, rights) and what its clients are told (addresses) is made together,
so that both fit. `SECRETS_DIR` names the folder, to docker-compose.yml too.
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
    """Where the files are that this environment names."""
    return checkout / (env.get(VARIABLE) or DEVELOPMENT)


def of_admin(checkout: Path, env: Mapping[str, str]) -> str:
    """The password of RabbitMQ's administrator in the containers."""
    file = folder(checkout, env) / _ADMIN
    try:
        return file.read_text().strip()
    except OSError as problem:
        raise Trouble(
            f"cannot read {file}: {problem.strerror} ({VARIABLE} names its folder)"
        ) from (problem)


def login(checkout: Path, env: Mapping[str, str]) -> str:
    """How to say what the administrator types: a password of one's own is on no screen."""
    if env.get(VARIABLE):
        return f"{rabbitmq.ADMIN}, its password in {folder(checkout, env) / _ADMIN}"
    return f"{rabbitmq.ADMIN} / {rabbitmq.ADMIN_PASSWORD}"


def make(checkout: Path, env: Mapping[str, str]) -> Path:
    """Fill the folder that `SECRETS_DIR` names with passwords by chance; it must be a new one."""
    if not env.get(VARIABLE):
        raise Trouble(f"say where to: {VARIABLE}=/a/new/folder make secrets", status=2)
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
    """Their contents by name; `password` is asked anew for each login, and has to be URL-safe."""
    broker = {name: password(name) for name in (rabbitmq.ADMIN, *(s.name for s in SERVICES))}
    made = {
        "postgres_password": password("postgres"),
        _ADMIN: broker[rabbitmq.ADMIN],
        "rabbitmq_definitions.json": json.dumps(rabbitmq.definitions(broker.__getitem__), indent=2),
    }
    for service in SERVICES:
        made |= _of(service, password, broker[service.name])
    return {name: f"{text.rstrip()}\n" for name, text in made.items()}


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
