"""The same stack by Docker Compose; nothing is decided here that the compose files can say."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from devstack import environment, images, ports, rabbitmq, seeding, summary
from devstack.console import plain
from devstack.errors import Trouble
from devstack.layout import Layout, fingerprint, make_readable
from devstack.locking import exclusive
from devstack.services import SERVICES, Service
from devstack.waiting import undisturbed

_PORT = re.compile(r"\$\{([A-Z_]+_PORT):-(\d+)\}")

_VERSIONS = {
    "Python": ("orders-api", "python", "--version"),
    "PostgreSQL": ("postgres", "postgres", "--version"),
    "Redis": ("redis", "redis-server", "--version"),
}


@dataclass(frozen=True)
class Docker:
    layout: Layout
    env: Mapping[str, str]
    file: str = "docker-compose.yml"
    suffix: str = ""

    @property
    def project(self) -> str:
        """One per checkout: two live side by side."""
        return f"outbox-{fingerprint(self.layout.checkout)}{self.suffix}"

    # -- can it be used --------------------------------------------------------------------------

    def lack(self) -> str:
        """Why Docker cannot be used, in a few words; empty when it can."""
        if not images.succeeds(["docker", "info"]):
            return "docker info does not answer"
        if not images.succeeds(["docker", "compose", "version"]):
            return "Docker has no Compose v2"
        if not (self.layout.checkout / self.file).exists():
            return f"there is no {self.file}"
        needed = images.needed(self.layout.checkout, self.file)
        missing = [image for image in needed if not images.can_be_had(image)]
        return f"image {missing[0]} is neither here nor can it be pulled" if missing else ""

    # -- compose ---------------------------------------------------------------------------------

    def compose(
        self, *arguments: str, quiet: bool = False, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        plainly = [] if sys.stdout.isatty() else ["--ansi", "never"]
        command = ["docker", "compose", *plainly, "-p", self.project, "-f", self.file, *arguments]
        return subprocess.run(
            command,
            cwd=self.layout.checkout,
            env=dict(env or self.env),
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.PIPE if quiet else None,
        )

    def _demand(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        if self.compose(*arguments, env=env).returncode:
            raise Trouble(f"docker compose {arguments[0]} failed: see above, or make logs")

    def is_running(self) -> bool:
        return bool(self.compose("ps", "-q", quiet=True).stdout.strip())

    def has_ended(self) -> bool:
        """Docker says that there is no container; one that says nothing does not count."""
        said = self.compose("ps", "-a", "-q", quiet=True)
        return said.returncode == 0 and not said.stdout.strip()

    def port(self, service: str, inside: int) -> int:
        """Where a container's port is published on 127.0.0.1."""
        said = self.compose("port", service, str(inside), quiet=True).stdout.strip()
        if not said:
            raise Trouble(f"{service} does not run, or port {inside} is not published: make start")
        return int(said.rpartition(":")[2])

    def port_environment(self, *, with_services: bool = True) -> dict[str, str]:
        """Every `${NAME_PORT:-n}` of the compose file: HTTP ports insist, the others step aside.

        What is chosen here is kept for all commands that meet the running containers.
        """
        self.layout.prepare()
        text = (self.layout.checkout / self.file).read_text()
        found = {name: int(port) for name, port in _PORT.findall(text)}
        own = {service.port_variable for service in SERVICES} & set(found)
        given = {
            name: environment.number(self.env, name, 0)
            for name in set(found) - own
            if self.env.get(name, "").strip()
        }
        self._folder.mkdir(exist_ok=True)
        with ports.Ports(self._folder) as claims:
            for name in own if with_services else ():
                claims.insist(name, name, environment.number(self.env, name, found[name]))
            claims.chosen |= given
            claims.choose({n: port for n, port in found.items() if n not in own | set(given)})
            return {name: str(port) for name, port in claims.chosen.items() if name in found}

    @property
    def _folder(self) -> Path:
        return self.layout.home / f"docker{self.suffix}"

    def _kept_ports(self) -> dict[str, str]:
        kept = self._folder / "ports.json"
        if not kept.exists():
            return {}
        return {name: str(port) for name, port in json.loads(kept.read_text()).items()}

    # -- commands --------------------------------------------------------------------------------

    def start(self, *extra: str) -> None:
        with exclusive(self.layout):
            if self.is_running():
                lines = self._up(self._kept_ports(), *extra)
            else:
                with self._ended_if_it_fails():
                    lines = self._up(self.port_environment(), *extra)
        for line in lines:
            plain(line)

    def _up(self, ports: Mapping[str, str], *extra: str) -> list[str]:
        """What to say of it, once everything is ready."""
        make_readable(self.layout.checkout / "deploy")
        command = ("up", "--build", "--wait", "-d", *extra)
        if self.compose(*command, env={**self.env, **ports}).returncode:
            self.compose("logs", "--tail", "5", *self._unwell())
            raise Trouble("the Docker stack did not get ready: see above")
        return self._summary()

    @contextmanager
    def _ended_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except BaseException as problem:
            with undisturbed():
                if self.compose("down", quiet=True).returncode:
                    reason = str(problem) or "interrupted"
                    raise Trouble(f"{reason}; containers are left: make stop") from problem
            raise

    def _unwell(self) -> list[str]:
        """The services whose containers failed; all of them if none says so."""
        said = self.compose("ps", "-a", "--format", "json", quiet=True).stdout
        containers = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return [
            container["Service"]
            for container in containers
            if container.get("ExitCode") or container.get("Health") == "unhealthy"
        ]

    def _summary(self) -> list[str]:
        urls: dict[str, str] = {}
        for service in SERVICES:
            urls[service.name] = self._url(f"{service.name}-api", service.port)
            urls[f"{service.name}-worker"] = self._url(
                f"{service.name}-worker", service.worker_port
            )
        urls["management"] = self._url("rabbitmq", 15672)
        versions = {**self._versions(), "RabbitMQ": rabbitmq.version(urls["management"]) or "?"}
        inside = {"postgres": ("postgres", 5432), "amqp": ("rabbitmq", 5672)}
        found = {name: self.port(*place) for name, place in inside.items()}
        seeding.wait_until_known(urls)
        return summary.lines(urls, versions, found, "Docker")

    def _url(self, service: str, inside: int) -> str:
        return f"http://127.0.0.1:{self.port(service, inside)}"

    def _versions(self) -> dict[str, str]:
        """What runs in the containers, asked there."""
        return {
            name: _number(self.compose("exec", "-T", *command, quiet=True).stdout)
            for name, command in _VERSIONS.items()
        }

    def stop(self) -> None:
        with exclusive(self.layout):
            self._demand("down")

    def restart(self) -> None:
        self.stop()
        self.start()

    def rebuild(self) -> None:
        self.start("--force-recreate")

    def status(self) -> int:
        return self.compose("ps", "-a").returncode

    def logs(self, service: str | None) -> None:
        names = [f"{service}-api", f"{service}-worker"] if service else []
        follow = ["--follow"] if sys.stdout.isatty() else []
        self.compose("logs", "--tail", "40", *follow, *names)

    def migrate(self, chosen: list[Service]) -> None:
        with self._database() as env:
            for service in chosen:
                self._run(service, (), env)

    def run_once(self, service: Service, *arguments: str) -> None:
        """A command of a service that ends by itself."""
        with self._database() as env:
            self._run(service, arguments, env)

    def _run(self, service: Service, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        """Without arguments it migrates."""
        self._demand("run", "--rm", "--build", f"{service.name}-migrate", *arguments, env=env)

    @contextmanager
    def _database(self) -> Iterator[Mapping[str, str]]:
        """The environment for a `run` beside PostgreSQL, which ends with it if nothing ran."""
        with nullcontext() if self.is_running() else exclusive(self.layout):
            if self.is_running():
                yield {**self.env, **self._kept_ports()}
                return
            try:
                yield {**self.env, **self.port_environment(with_services=False)}
            finally:
                with undisturbed():
                    self.compose("down", quiet=True)

    def remove(self) -> None:
        """Containers and their data, and the folder that tells of them."""
        if self.compose("down", "--volumes", "--remove-orphans").returncode == 0:
            shutil.rmtree(self._folder, ignore_errors=True)


def _number(text: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found.group() if found else "?"
