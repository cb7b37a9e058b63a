"""The stack by Docker Compose. Whatever a compose file can say is decided there, not here.

One file, because every command of `make` is one call of Compose on the same project.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from devstack.docker import images, passwords
from devstack.docker.docker_ports import Published
from devstack.host import operations_token
from devstack.host.console import plain, say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout, fingerprint, make_readable
from devstack.host.locking import exclusive
from devstack.host.waiting import undisturbed
from devstack.native import (
    operator_console,
    prometheus,
    rabbitmq,
    seeding,
    stubs,
    summary,
)
from devstack.native.services import SERVICES, Service

_OBSERVING = {"prometheus": 9090, "grafana": 3000, "jaeger": 16686}
"""The containers of OBSERVE=1 that have pages, with their ports."""
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
        """One project per checkout, so two checkouts can run side by side."""
        return f"outbox-{fingerprint(self.layout.checkout)}{self.suffix}"

    # -- can it be used --------------------------------------------------------------------------

    def lack(self) -> str:
        """Why Docker cannot be used, in a few words; empty if it can."""
        if not images.succeeds(["docker", "info"]):
            return "docker info does not answer"
        if not images.succeeds(["docker", "compose", "version"]):
            return "Docker has no Compose v2"
        if not (self.layout.checkout / self.file).exists():
            return f"there is no {self.file}"
        needed = images.needed(self.layout.checkout, self.file, self.env)
        missing = [image for image in needed if not images.can_be_had(image)]
        return f"image {missing[0]} is neither here nor can it be pulled" if missing else ""

    # -- compose ---------------------------------------------------------------------------------

    def compose(
        self,
        *arguments: str,
        quiet: bool = False,
        asks: bool = False,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """`quiet` captures the output for the caller; `asks` lets the user answer.

        Every command but `up` is about all containers, also those that only OBSERVE=1 starts.
        """
        is_observed = arguments[0] != "up" or prometheus.is_wanted(self.env)
        profiles = {"COMPOSE_PROFILES": "observe"} if is_observed else {}
        plainly = [] if sys.stdout.isatty() else ["--ansi", "never"]
        command = ["docker", "compose", *plainly, "-p", self.project, "-f", self.file, *arguments]
        try:
            return subprocess.run(
                command,
                cwd=self.layout.checkout,
                env={**(env or self.env), **profiles},
                text=True,
                check=False,
                stdin=None if asks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if quiet else None,
                stderr=subprocess.PIPE if quiet else None,
            )
        except OSError as problem:
            raise Trouble(f"cannot run docker: {problem.strerror} (make doctor)") from problem

    def _demand(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        if self.compose(*arguments, env=env).returncode:
            raise Trouble(f"docker compose {arguments[0]} failed: see above, or make logs")

    def is_running(self) -> bool:
        """Whether containers run; false when Docker does not answer."""
        try:
            return bool(self.compose("ps", "-q", quiet=True).stdout.strip())
        except Trouble:
            return False

    def has_ended(self) -> bool:
        """Whether Docker answers that there is no container; no answer does not count."""
        said = self.compose("ps", "-a", "-q", quiet=True)
        return said.returncode == 0 and not said.stdout.strip()

    def port(self, service: str, inside: int) -> int:
        """The port on 127.0.0.1 at which a container's port is published."""
        said = self.compose("port", service, str(inside), quiet=True).stdout.strip()
        if not said:
            raise Trouble(f"{service} does not run, or port {inside} is not published: make start")
        return int(said.rpartition(":")[2])

    @property
    def published(self) -> Published:
        folder = self.layout.home / f"docker{self.suffix}"
        return Published(folder, self.layout.checkout / self.file, self.env)

    # -- commands --------------------------------------------------------------------------------

    def start(self, *extra: str) -> None:
        with exclusive(self.layout):
            if self.is_running():
                lines = self._up(self.published.kept(), *extra)
            else:
                with self._ended_if_it_fails():
                    lines = self._up(self.published.choose(), *extra)
        for line in lines:
            plain(line)

    def _up(self, ports: Mapping[str, str], *extra: str) -> list[str]:
        """What `make start` prints at the end."""
        make_readable(self.layout.checkout / "deploy")
        command = ("up", "--build", "--wait", "-d", *extra)
        without = stubs.in_containers(self.env) | operator_console.in_containers(self.env)
        token = operations_token.variables(self.layout, self.env)
        env = {**self.env, **ports, **without, **token}
        if self.compose(*command, env=env).returncode:
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
        """The services whose containers failed; all of them when none reports it."""
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
        if stubs.are_wanted(self.env):
            urls[stubs.NAME] = self._url(stubs.NAME, stubs.PORT)
        if operator_console.is_wanted(self.env):
            urls[operator_console.NAME] = self._url(operator_console.NAME, operator_console.PORT)
        urls["management"] = self._url("rabbitmq", 15672)
        if prometheus.is_wanted(self.env):
            urls |= {name: self._url(name, inside) for name, inside in _OBSERVING.items()}
        password = passwords.of_admin(self.layout.checkout, self.env)
        broker = rabbitmq.version(urls["management"], password) or "?"
        versions = {**self._versions(), "RabbitMQ": broker}
        inside = {"postgres": ("postgres", 5432), "amqp": ("rabbitmq", 5672)}
        found = {name: self.port(*place) for name, place in inside.items()}
        seeding.wait_until_known(urls)
        login = passwords.login(self.layout.checkout, self.env)
        in_console = operator_console.login(self.env)
        lines = summary.lines(
            urls, versions, found, "Docker", login=login, console_login=in_console
        )
        return [*lines, *operations_token.lines(self.layout, self.env, urls)]

    def _url(self, service: str, inside: int) -> str:
        return f"http://127.0.0.1:{self.port(service, inside)}"

    def _versions(self) -> dict[str, str]:
        """The versions, asked inside the containers."""
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
        """Run a command of a service that ends by itself."""
        with self._database() as env:
            self._run(service, arguments, env)

    def _run(self, service: Service, arguments: tuple[str, ...], env: Mapping[str, str]) -> None:
        """Run `migrate`, or another command, in a new container."""
        self._demand("run", "--rm", "--build", f"{service.name}-migrate", *arguments, env=env)

    @contextmanager
    def _database(self) -> Iterator[Mapping[str, str]]:
        """The environment for `run` beside PostgreSQL, which ends with the block if nothing ran."""
        with nullcontext() if self.is_running() else exclusive(self.layout):
            if self.is_running():
                yield {**self.env, **self.published.kept()}
                return
            try:
                yield {**self.env, **self.published.choose(with_services=False)}
            finally:
                with undisturbed():
                    if self.compose("down", quiet=True).returncode:
                        say("containers are left: STACK=docker make stop")

    def remove(self) -> bool:
        """Remove containers, their data and their folder; False when Docker fails."""
        try:
            done = self.compose("down", "--volumes", "--remove-orphans").returncode == 0
        except Trouble:
            return False
        if done:
            shutil.rmtree(self.published.folder, ignore_errors=True)
        return done


def _number(text: str) -> str:
    found = re.search(r"\d+\.\d+(\.\d+)?", text)
    return found.group() if found else "?"
