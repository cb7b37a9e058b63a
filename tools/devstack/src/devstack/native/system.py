"""One whole system on this machine: infrastructure and services, in one folder, by one object.

For tests that need a system of their own:

    with System(Layout(CHECKOUT, tmp_path / "system"), env={"LOG_LEVEL": "WARNING"}) as system:
        system.urls["orders"]            # http://127.0.0.1:<port>; also "processor", "stubs",
                                         # "orders-worker", "processor-worker", "management";
                                         # "prometheus" with OBSERVE=1
        system.environment["orders"]     # its variables: DATABASE_URL_ORDERS, RABBITMQ_URL …
        system.pid_of("rabbitmq")        # beam itself, the postmaster, the service: never a wrapper
        system.kill("orders-worker")     # SIGKILL; supervisor brings it back
        system.stop_process("rabbitmq")  # ends it and keeps it away …
        system.start_process("rabbitmq") # … until here; returns when it accepts connections
        system.wait_ready()              # both APIs and both workers say ready

Processes: postgres, epmd, rabbitmq, redis (if the machine has it), stubs, orders-api,
orders-worker, processor-api, processor-worker. `with` destroys the system at the end: processes are
killed and the folder is removed. `start()` and `stop()` are the gentle pair, which keeps the data.
Ports are free ones; `standard_ports` takes 8000, 5432 and so on. `durable=False` turns fsync off.
`tied` ends the system with the process that started it. The venv of the checkout is used as it is.

One file, because a system has one life: it is started, used and ended by one object.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from devstack.host import operations_token, processes
from devstack.host.console import Say, silent
from devstack.host.errors import Trouble
from devstack.host.layout import CHECKOUT, Layout
from devstack.host.ports import Ports
from devstack.host.waiting import undisturbed, until
from devstack.native import addresses, migrations, operator_console, services, stop
from devstack.native.addresses import Plan
from devstack.native.infrastructure import Infrastructure, Wanted, database_of
from devstack.native.readiness import Watch
from devstack.native.services import ROLES, SERVICES, Service, program_name
from devstack.native.state import State
from devstack.native.supervisor import Supervisor, bare
from devstack.native.supervisor_config import Program, write

__all__ = ["CHECKOUT", "Layout", "System"]


class System:
    def __init__(
        self,
        layout: Layout,
        env: Mapping[str, str] | None = None,
        *,
        with_services: bool = True,
        standard_ports: bool = False,
        durable: bool = True,
        tied: bool = True,
        say: Say = silent,
        wanted: Wanted | None = None,
    ) -> None:
        self.layout = layout
        self._env = dict(env or {})
        self._with_services = with_services
        self._standard_ports = standard_ports
        self._durable = durable
        self._tied = tied
        self._say = say
        # Tests of a whole system need no console; those of the console start one of their own.
        self._has_console = (
            standard_ports and with_services and operator_console.is_wanted(self._env)
        )
        self.supervisor = Supervisor(layout)
        self.wanted = wanted or Wanted.by(self._env)
        self.ports: dict[str, int] = {}
        self.urls: dict[str, str] = {}
        self.versions: dict[str, str] = {}
        self.environment: dict[str, dict[str, str]] = {}
        self._claims: Ports | None = None
        self._infrastructure: Infrastructure | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.destroy()

    # -- starting --------------------------------------------------------------------------------

    def claim_ports(self) -> None:
        """Choose every port; Trouble when one that must not step aside is taken."""
        processes.demand_proc()
        self.layout.prepare()
        self._claims = Ports(self.layout.home)
        plan = Plan(
            self.wanted, self._env, self._with_services, self._standard_ports, self._has_console
        )
        self.ports = plan.carry_out(self._claims)

    def start(self, meanwhile: Callable[[], object] = dict) -> None:
        """Return when everything is ready; else stop what was started and raise Trouble.

        `meanwhile` runs beside the boot of the infrastructure, and is done before the services.
        """
        try:
            if self._claims is None:
                self.claim_ports()
            self._boot(meanwhile)
            if self._with_services:
                self._start_services()
            self._record_infrastructure()
        except BaseException:
            with undisturbed():
                self.stop()
            raise
        finally:
            if self._claims is not None:
                self._claims.release()

    def _boot(self, meanwhile: Callable[[], object]) -> None:
        State.forget(self.layout)
        self._infrastructure = parts = Infrastructure(
            self.layout, self.wanted, self.ports, self._env, durable=self._durable
        )
        parts.prepare()
        for stamp in self.layout.run.glob("*.pid"):  # a new start is not slowed down
            stamp.unlink()
        programs = parts.programs() + self._service_programs(parts)
        write(programs, self.layout)
        self.supervisor.launch(tied=self._tied)
        with ThreadPoolExecutor() as pool:
            other = pool.submit(meanwhile)
            for program in parts.programs():
                self.supervisor.start(program.name)
            if parts.postgres:
                parts.postgres.wait()
                parts.postgres.ensure([database_of(service) for service in SERVICES])
                self._say("PostgreSQL is ready")
            other.result()

    def _service_programs(self, parts: Infrastructure) -> list[Program]:
        python, folder = self.layout.python, self.layout.checkout
        self.environment = {s.name: self._environment_of(s, parts) for s in SERVICES}
        if not self._with_services:
            return []
        own = [
            services.program(python, folder, service, role, self.environment[service.name])
            for role in ROLES
            for service in SERVICES
        ]
        return [*parts.stand_ins(), *own, *self._console(parts)]

    def _console(self, parts: Infrastructure) -> list[Program]:
        if not self._has_console:
            return []
        port = self.ports[operator_console.NAME]
        broker = operator_console.OwnBroker.of(parts.rabbitmq) if parts.rabbitmq else None
        environments = self.environment
        return [operator_console.program(self.layout, self._env, port, environments, broker)]

    def _environment_of(self, service: Service, parts: Infrastructure) -> dict[str, str]:
        numbers = {}
        if self._with_services:
            numbers = {
                service.port_variable: str(self.ports[program_name(service, "api")]),
                service.worker_port_variable: str(self.ports[program_name(service, "worker")]),
            }
        token = operations_token.variables(self.layout, self._env)
        return {**bare(), **parts.urls_for(service), **token, **service.own(self._env), **numbers}

    def _start_services(self) -> None:
        """Start the APIs once the schemas are there, and the workers once the broker answers."""
        migrations.run(self.layout, self.environment)
        self._say("migrations are done")
        watch = Watch(self.layout, self.supervisor)
        watch.start([program.name for program in self.infrastructure.stand_ins()])
        watch.start([program_name(service, "api") for service in SERVICES])
        if self.infrastructure.rabbitmq:
            self.infrastructure.rabbitmq.wait()
            self._say("RabbitMQ is ready")
        watch.start([program_name(service, "worker") for service in SERVICES])
        if self._has_console:
            watch.start([operator_console.NAME])
            url = operator_console.url(self.ports[operator_console.NAME], self._env)
            self.urls[operator_console.NAME] = url
        self.urls |= addresses.urls(self.ports, self._env)
        self.urls |= self.infrastructure.stand_in_urls()
        watch.until_ready(addresses.by_program(self.urls))
        self._say("both services are ready")

    def _record_infrastructure(self) -> None:
        self.infrastructure.wait()
        self.urls |= self.infrastructure.urls()
        self.versions |= self.infrastructure.versions()
        State(self.urls, self.ports, self.versions, self.environment).write(self.layout)

    # -- ending ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """End all processes gently; the data stays."""
        stop.stop(self.layout)

    def destroy(self) -> None:
        """Kill all processes and remove the folder."""
        stop.destroy(self.layout)

    # -- single processes ------------------------------------------------------------------------

    def pid_of(self, name: str) -> int:
        """The pid; 0 while the process is not running."""
        return self.supervisor.pid_of(name)

    def kill(self, name: str) -> None:
        """SIGKILL; supervisor restarts it at once. A process that is starting is waited for."""
        if not until(lambda: processes.kill(self.pid_of(name)), 30):
            raise Trouble(f"{name} is not running, so it cannot be killed")

    def stop_process(self, name: str) -> None:
        self.supervisor.stop_and_wait([name], 60)

    def start_process(self, name: str) -> None:
        """Return when PostgreSQL or RabbitMQ takes connections; services: see `wait_ready`."""
        self.supervisor.start(name)
        parts = self._infrastructure
        if parts and parts.rabbitmq and name == "rabbitmq":
            parts.rabbitmq.wait()
        if parts and parts.postgres and name == "postgres":
            parts.postgres.wait()

    def wait_ready(self, seconds: float = 60) -> None:
        """Return when all services are ready; Trouble repeats what the first other one answers."""
        watch = Watch(self.layout, self.supervisor)
        watch.until_ready(addresses.by_program(self.urls), seconds)

    @contextlib.contextmanager
    def without(self, name: str) -> Iterator[None]:
        """Stop this process for the length of a `with` block."""
        self.stop_process(name)
        try:
            yield
        finally:
            self.start_process(name)

    @property
    def infrastructure(self) -> Infrastructure:
        """The servers below the services; not before the start."""
        assert self._infrastructure is not None
        return self._infrastructure

    @property
    def admin_database_url(self) -> str:
        """The superuser's URL; only when PostgreSQL runs in this system."""
        assert self.infrastructure.postgres is not None
        return self.infrastructure.postgres.url()

    @property
    def admin_rabbitmq_url(self) -> str:
        """The administrator's URL; only when RabbitMQ runs in this system."""
        assert self.infrastructure.rabbitmq is not None
        return self.infrastructure.rabbitmq.admin_url
