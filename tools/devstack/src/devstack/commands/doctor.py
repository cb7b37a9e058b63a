"""`make doctor` checks the machine and the checkout, and prints a fix for everything it finds."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from devstack.commands import stack_choice
from devstack.docker.stack import Docker
from devstack.host import apt, environment, ports, processes
from devstack.host.console import plain
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.venv import Venv
from devstack.native import prometheus, rabbitmq, redis, services
from devstack.native.infrastructure import Wanted
from devstack.native.services import SERVICES
from devstack.native.state import State
from devstack.native.supervisor import Supervisor

OK, NOTE, BAD = "ok", "note", "BAD"
LEAST_SPACE = 2 * 1024**3  # bytes


@dataclass(frozen=True)
class Finding:
    """BAD stops `make start`; a note does not."""

    weight: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.weight:<5}{self.what}" + (f"\n     → {self.fix}" if self.fix else "")


class Doctor:
    def __init__(self, layout: Layout, env: Mapping[str, str]) -> None:
        self._layout = layout
        self._env = env
        self._docker = Docker(layout, env)

    def findings(self) -> Iterator[Finding]:
        looks: list[Callable[[], Iterator[Finding]]] = [
            self._python,
            self._venv,
            self._space,
            self._ownership,
            self._stack,
            self._broker,
            self._cache,
            self._prometheus,
            self._postgres,
            self._http_ports,
            self._leftovers,
        ]
        for look in looks:
            yield from look()

    def _python(self) -> Iterator[Finding]:
        yield Finding(OK, f"Python {sys.version.split()[0]} ({sys.executable})")

    def _venv(self) -> Iterator[Finding]:
        if Venv(self._layout, plain).is_current():
            yield Finding(OK, "venv/ is what the lock files say")
        elif importlib.util.find_spec("ensurepip"):
            yield Finding(
                NOTE, "venv/ is missing or behind the lock files", "make venv (make start does it)"
            )
        else:
            weight = NOTE if apt.allowed() else BAD
            yield Finding(weight, "this Python cannot make a venv", apt.advice("python3-venv"))

    def _space(self) -> Iterator[Finding]:
        free = shutil.disk_usage(self._layout.checkout).free
        text = f"{free / 1024**3:.1f} GiB free on this disk"
        if free >= LEAST_SPACE:
            yield Finding(OK, text)
        else:
            yield Finding(
                BAD, text, "make room: 2 GiB are needed, and RabbitMQ stops below its limit"
            )

    def _ownership(self) -> Iterator[Finding]:
        home = self._layout.home
        if not home.exists():
            yield Finding(NOTE, "there is no .local yet", "make start makes it")
        elif home.stat().st_uid != os.geteuid():
            yield Finding(
                BAD,
                f".local belongs to uid {home.stat().st_uid}, you are {os.geteuid()}",
                "run as that user, or make clean as that user",
            )
        else:
            yield Finding(OK, ".local is yours")

    def _stack(self) -> Iterator[Finding]:
        stack = stack_choice.kept(self._layout)
        lack = self._docker.lack()
        docker = f"Docker cannot be used: {lack}" if lack else "Docker can be used"
        if stack == stack_choice.DOCKER and lack:
            yield Finding(
                BAD,
                f"this checkout runs on Docker, but {lack}",
                "start Docker, or STACK=native make start (with other data)",
            )
        else:
            yield Finding(OK, f"stack: {stack or 'not chosen yet'}. {docker}")

    def _broker(self) -> Iterator[Finding]:
        if self._env.get("RABBITMQ_URL"):
            yield Finding(OK, "RabbitMQ is the one in RABBITMQ_URL")
        elif server := rabbitmq.find_server():
            yield Finding(OK, f"RabbitMQ: {server}")
        else:
            weight = NOTE if apt.allowed() else BAD
            yield Finding(weight, "rabbitmq-server is not installed", apt.advice("rabbitmq-server"))

    def _cache(self) -> Iterator[Finding]:
        if self._env.get("REDIS_URL") or redis.find_server():
            yield Finding(OK, "Redis is there")
        else:
            yield Finding(
                NOTE, "no Redis: nothing is cached, all else works", apt.advice("redis-server")
            )

    def _prometheus(self) -> Iterator[Finding]:
        if not Wanted.by(self._env).prometheus:
            return
        if server := prometheus.find_server():
            yield Finding(OK, f"Prometheus: {server}")
        else:
            weight = NOTE if apt.allowed() else BAD
            yield Finding(weight, "prometheus is not installed", apt.advice(prometheus.NAME))

    def _postgres(self) -> Iterator[Finding]:
        """Only root needs another user for PostgreSQL."""
        if os.geteuid() != 0 or not Wanted.by(self._env).postgres:
            return
        if (
            shutil.which("unshare")
            and subprocess.run(
                ["unshare", "-U", "true"], capture_output=True, check=False
            ).returncode
            == 0
        ):
            yield Finding(OK, "PostgreSQL will run in a user namespace")
        elif shutil.which("setpriv"):
            yield Finding(OK, "no user namespaces: PostgreSQL will run under a uid of its own")
        else:
            yield Finding(
                BAD,
                "PostgreSQL refuses root, and neither unshare nor setpriv works",
                f"{apt.advice('util-linux')}, or run make start as another user",
            )

    def _http_ports(self) -> Iterator[Finding]:
        running = Supervisor(self._layout).answers() or self._docker.is_running()
        host = services.listening_host(self._env)
        for service in SERVICES:
            port = environment.number(self._env, service.port_variable, service.port)
            found = None if running else ports.obstacle(port, service.port_variable, host)
            if found:
                yield Finding(BAD, found.what, found.fix)
            else:
                yield Finding(OK, f"port {port} for {service.folder}")

    def _leftovers(self) -> Iterator[Finding]:
        """Locks are not checked: the kernel drops a lock together with its process."""
        left = processes.belonging_to(self._layout.home)
        if left and not Supervisor(self._layout).answers():
            yield Finding(NOTE, f"{len(left)} processes of a killed start are left", "make stop")
        elif left and State.read(self._layout) is None:
            yield Finding(
                NOTE, "a start is under way, or one was broken off", "make status; make stop"
            )
        else:
            yield Finding(OK, "nothing is left over" if not left else "the system runs")


def run(layout: Layout, env: Mapping[str, str]) -> int:
    found = list(Doctor(layout, env).findings())
    for finding in found:
        plain(str(finding))
    bad = sum(finding.weight == BAD for finding in found)
    if bad:
        raise Trouble(f"{bad} of these stop make start: the lines with → say what to do")
    return 0
