"""`make start`, `stop`, `status` and the like, without Docker."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from devstack.host import operations_token
from devstack.host.console import plain, say, table
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.locking import exclusive
from devstack.host.venv import Venv
from devstack.host.waiting import undisturbed
from devstack.native import (
    migrations,
    operator_console,
    prerequisites,
    prometheus,
    redis,
    seeding,
    services,
    summary,
)
from devstack.native.infrastructure import Wanted
from devstack.native.readiness import READY
from devstack.native.services import PROCESSOR, Service
from devstack.native.state import State
from devstack.native.supervisor import Supervisor
from devstack.native.system import System

# The settings require a broker, but migrations never connect to it.
_BROKER, _ABSENT = "RABBITMQ_URL", "amqp://nobody:nothing@127.0.0.1:5672/%2F"
SEED = ("seed", "--unless-production")


@dataclass(frozen=True)
class Native:
    """The stack as processes of this machine."""

    layout: Layout
    env: Mapping[str, str]

    @property
    def _system(self) -> System:
        return System(self.layout, self.env, standard_ports=True, tied=False, say=say)

    @property
    def venv(self) -> Venv:
        return Venv(self.layout, say)

    def start(self) -> None:
        with exclusive(self.layout):
            self._start()

    def running(self) -> State | None:
        """The running system; None if its supervisor is gone, as after a reboot."""
        return State.read(self.layout) if Supervisor(self.layout).answers() else None

    def is_running(self) -> bool:
        return self.running() is not None

    def has_ended(self) -> bool:
        return not Supervisor(self.layout).answers()

    def _start(self) -> None:
        if self._runs_already():
            say("already running" + self._what_it_lacks())
        else:
            self._start_fresh()
        self._show()

    def _runs_already(self) -> bool:
        """Whether the system is ready, now or soon; an interrupted start does not count."""
        state, supervisor = self.running(), Supervisor(self.layout)
        if state is None:
            return False
        for name in supervisor.states():
            supervisor.start(name)  # starts a process that was stopped; no effect on the others
        self._wait_ready(state)
        return True

    def _what_it_lacks(self) -> str:
        state = State.read(self.layout)
        lacks = Wanted.by(self.env).prometheus and state and prometheus.NAME not in state.urls
        return ", without Prometheus: OBSERVE=1 make restart" if lacks else ""

    def _wait_ready(self, state: State) -> None:
        system = self._system
        system.urls = dict(state.urls)
        system.wait_ready()

    def _start_fresh(self) -> None:
        system = self._system
        prerequisites.demand(self.layout, system.wanted)
        system.stop()  # what a killed start or supervisor left
        system.claim_ports()
        with ThreadPoolExecutor() as pool, self.venv.locked():
            installed = pool.submit(prerequisites.install, self.layout, system.wanted)
            self.venv.third_parties()
            installed.result()
            say("starting " + self._names(system.wanted))
            system.start(meanwhile=self.venv.local_packages)
        try:
            services.run_once(self.layout, system.environment, PROCESSOR, *SEED)
            seeding.wait_until_known(system.urls)
        except BaseException:
            with undisturbed():
                system.stop()
            raise

    def _names(self, wanted: Wanted) -> str:
        parts = {
            "PostgreSQL": wanted.postgres,
            "RabbitMQ": wanted.rabbitmq,
            "Redis": wanted.redis and redis.find_server() is not None,
            "Prometheus": wanted.prometheus,
        }
        return ", ".join(
            [*(name for name, is_wanted in parts.items() if is_wanted), "both services"]
        )

    def _show(self) -> None:
        state = State.read(self.layout)
        assert state is not None
        for line in self._summary(state):
            plain(line)

    def _summary(self, state: State) -> list[str]:
        login = operator_console.login(self.env)
        lines = summary.lines(
            state.urls, state.versions, state.ports, "native", console_login=login
        )
        lines += operations_token.lines(self.layout, self.env, state.urls)
        if operator_console.NAME in state.urls:
            return lines
        return [*lines, "  no console: CONSOLE_USERS_FILE is not set (docs/console.md)", ""]

    def stop(self) -> None:
        with exclusive(self.layout):
            self._system.stop()
        say("stopped; the data stays (make clean removes it)")

    def restart(self) -> None:
        with exclusive(self.layout):
            self._system.stop()
            self._start()

    def rebuild(self) -> None:
        """Install the packages of the checkout again, then restart."""
        with exclusive(self.layout):
            self._system.stop()
            self.venv.forget_local()
            self._start()

    # -- looking ---------------------------------------------------------------------------------

    def status(self) -> int:
        state, supervisor = State.read(self.layout), Supervisor(self.layout)
        if not supervisor.answers():
            plain("native stack: not running (make start)")
            return 1
        state = state or State()
        infos = supervisor.states()
        rows = [
            [
                name,
                info["statename"],
                str(info["pid"] or "-"),
                state.ports_of(name),
                state.health(name),
            ]
            for name, info in infos.items()
        ]
        plain(table(["process", "state", "pid", "ports", "health"], rows))
        return 0 if all(row[1] == "RUNNING" and row[4] in ("-", READY) for row in rows) else 1

    def logs(self, service: str | None) -> None:
        """The last lines of each log; a terminal also follows new lines."""
        pattern = f"{service}-*.log" if service else "*.log"
        files = sorted(str(file) for file in self.layout.logs.glob(pattern))
        if not files:
            raise Trouble("there are no logs yet: make start")
        follow = ["-F"] if sys.stdout.isatty() else []
        subprocess.run(["tail", "-n", "40", *follow, *files], check=False)

    # -- schemas ---------------------------------------------------------------------------------

    @contextmanager
    def databases(self) -> Iterator[Mapping[str, Mapping[str, str]]]:
        """Each service's environment while its database is up; only PostgreSQL if nothing runs."""
        if state := self.running():
            yield state.environment
            return
        self.venv.ensure()
        wanted = Wanted(postgres=Wanted.by(self.env).postgres, rabbitmq=False, redis=False)
        system = System(
            self.layout,
            self.env,
            wanted=wanted,
            with_services=False,
            standard_ports=True,
            tied=False,
        )
        system.stop()
        try:
            system.start()
            yield {name: {_BROKER: _ABSENT, **env} for name, env in system.environment.items()}
        finally:
            system.stop()

    def migrate(self, chosen: list[Service]) -> None:
        with exclusive(self.layout), self.databases() as environments:
            migrations.run(self.layout, environments, chosen)
        say("schemas at head: " + ", ".join(service.folder for service in chosen))

    def run_once(self, service: Service, *arguments: str) -> None:
        """Run a command that ends by itself; it needs no lock while the system runs."""
        lock = nullcontext() if self.is_running() else exclusive(self.layout)
        with lock, self.databases() as environments:
            services.run_once(self.layout, environments, service, *arguments)
