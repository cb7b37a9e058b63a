"""The servers that a system starts itself. Servers that the environment names are used as is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.host import apt
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native import rabbitmq, redis, stubs
from devstack.native.postgres import Database, Postgres
from devstack.native.rabbitmq import RabbitMQ
from devstack.native.redis import Redis
from devstack.native.services import SERVICES, Service
from devstack.native.supervisor import bare
from devstack.native.supervisor_config import Program


@dataclass(frozen=True)
class Wanted:
    """The servers to start, because no variable names another one."""

    postgres: bool
    rabbitmq: bool
    redis: bool
    stubs: bool = False

    @classmethod
    def by(cls, env: Mapping[str, str]) -> "Wanted":
        databases = all(env.get(service.database_variable) for service in SERVICES)
        return cls(
            not databases,
            not env.get("RABBITMQ_URL"),
            not env.get("REDIS_URL"),
            stubs.are_wanted(env),
        )

    def ports(self) -> dict[str, int | None]:
        """The ports to choose, each with the one to prefer."""
        chosen: dict[str, int | None] = {}
        if self.postgres:
            chosen["postgres"] = 5432
        if self.rabbitmq:
            chosen.update(rabbitmq.PREFERRED)
        if self.redis:
            chosen["redis"] = 6379
        return chosen


class Infrastructure:
    """PostgreSQL, RabbitMQ and Redis of one system, as far as it starts them itself."""

    def __init__(
        self,
        layout: Layout,
        wanted: Wanted,
        ports: Mapping[str, int],
        env: Mapping[str, str],
        *,
        durable: bool,
    ) -> None:
        self._layout = layout
        self._env = env
        self._stubs_port = ports.get(stubs.NAME) if wanted.stubs else None
        self.postgres = (
            Postgres(layout, ports["postgres"], durable=durable) if wanted.postgres else None
        )
        self.rabbitmq = RabbitMQ(layout, _server(), ports) if wanted.rabbitmq else None
        found = redis.find_server() if wanted.redis else None
        self.redis = Redis(layout, found, ports["redis"]) if found else None

    def prepare(self) -> None:
        for part in (self.rabbitmq, self.redis, self.postgres):
            if part:
                part.prepare()

    def programs(self) -> list[Program]:
        programs = self.rabbitmq.programs() if self.rabbitmq else []
        if self.redis:
            programs.append(self.redis.program({}))
        if self.postgres:
            programs.append(self.postgres.program())
        return programs

    def urls_for(self, service: Service) -> dict[str, str]:
        """The variables of a service that point at what runs here."""
        urls: dict[str, str] = {}
        is_given = self._env.get(service.database_variable)  # the owner's URL then is given too
        if self.postgres and not is_given:
            database = database_of(service)
            urls[service.database_variable] = self.postgres.url(database)
            urls[service.owner_variable] = self.postgres.owner_url(database)
        if self.rabbitmq:
            urls["RABBITMQ_URL"] = self.rabbitmq.url(service.name, service.password)
        if self.redis and service.has_cache:
            urls["REDIS_URL"] = self.redis.url(service.name, service.password)
        if self._stubs_port:
            urls[stubs.ADDRESS_VARIABLE] = stubs.url(self._stubs_port, self._env)
        return urls

    def stand_ins(self) -> list[Program]:
        """The stand-ins for external systems, which start with the services."""
        if not self._stubs_port:
            return []
        servers = ("DATABASE_", "RABBITMQ_", "REDIS_")  # where the services keep their data
        mine = {name: self._env[name] for name in self._env if not name.startswith(servers)}
        given = {name: value for name, value in mine.items() if value}
        return [stubs.program(self._layout, {**bare(), **given}, self._stubs_port)]

    def stand_in_urls(self) -> dict[str, str]:
        """By the name of the process."""
        return {stubs.NAME: stubs.url(self._stubs_port, self._env)} if self._stubs_port else {}


def database_of(service: Service) -> Database:
    return Database(
        service.name, service.password, service.owner_password, extensions=service.extensions
    )


def _server() -> Path:
    found = rabbitmq.find_server()
    if found is None:
        raise Trouble(f"RabbitMQ is not installed: {apt.advice('rabbitmq-server')}")
    return found
