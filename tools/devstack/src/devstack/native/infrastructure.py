"""The servers that a system starts itself. Servers that the environment names are used as is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.host import apt
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native import prometheus, rabbitmq, redis, stubs
from devstack.native.postgres import Database, Postgres
from devstack.native.prometheus import Prometheus
from devstack.native.rabbitmq import RabbitMQ
from devstack.native.redis import Redis
from devstack.native.services import SERVICES, Service
from devstack.native.supervisor import bare
from devstack.native.supervisor_config import Program


@dataclass(frozen=True)
class Wanted:
    """The servers to start: those that no variable names, and Prometheus if it is asked for."""

    postgres: bool
    rabbitmq: bool
    redis: bool
    stubs: bool = False
    prometheus: bool = False

    @classmethod
    def by(cls, env: Mapping[str, str]) -> "Wanted":
        databases = all(env.get(service.database_variable) for service in SERVICES)
        return cls(
            not databases,
            not env.get("RABBITMQ_URL"),
            not env.get("REDIS_URL"),
            stubs.are_wanted(env),
            prometheus.is_wanted(env),
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
        if self.prometheus:
            chosen[prometheus.NAME] = prometheus.PORT
        return chosen


class Infrastructure:
    """The servers of one system, as far as it starts them itself."""

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
        self.prometheus = self._prometheus(wanted, ports) if wanted.prometheus else None

    def _prometheus(self, wanted: Wanted, ports: Mapping[str, int]) -> Prometheus:
        found = prometheus.find_server()
        if found is None:
            raise Trouble(f"Prometheus is not installed: {apt.advice(prometheus.NAME)}")
        targets = prometheus.targets(ports, self._env, broker=wanted.rabbitmq)
        return Prometheus(self._layout, found, ports[prometheus.NAME], targets)

    def prepare(self) -> None:
        for part in (self.rabbitmq, self.redis, self.postgres, self.prometheus):
            if part:
                part.prepare()

    def programs(self) -> list[Program]:
        programs = self.rabbitmq.programs() if self.rabbitmq else []
        if self.redis:
            programs.append(self.redis.program({}))
        if self.postgres:
            programs.append(self.postgres.program())
        if self.prometheus:
            programs.append(self.prometheus.program(bare()))
        return programs

    def wait(self) -> None:
        """Return when the servers answer that the services do not wait for."""
        if self.rabbitmq:
            self.rabbitmq.wait()
            self.rabbitmq.wait_management()
        if self.prometheus:
            self.prometheus.wait()

    def urls(self) -> dict[str, str]:
        """The addresses for a browser."""
        found = {}
        if self.rabbitmq:
            found["management"] = self.rabbitmq.management_url
        if self.prometheus:
            found[prometheus.NAME] = self.prometheus.url
        return found

    def versions(self) -> dict[str, str]:
        """By product."""
        found = {}
        if self.rabbitmq:
            found["RabbitMQ"] = rabbitmq.version(self.rabbitmq.management_url)
        if self.postgres:
            found["PostgreSQL"] = self.postgres.version()
        if self.redis:
            found["Redis"] = redis.version()
        if self.prometheus:
            found["Prometheus"] = prometheus.version()
        return found

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
