"""`make test`: pytest with a PostgreSQL and a RabbitMQ of its own, apart from a running system.

Each run has its own folder under `.local/test`, so several may run at once; folders of runs that
were killed are swept by the next one.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devstack.docker import containers
from devstack.docker.stack import Docker
from devstack.host import prerequisites, processes, stack_choice
from devstack.host.console import plain, say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.venv import Venv
from devstack.native import rabbitmq
from devstack.native.infrastructure import Wanted
from devstack.native.supervisor_config import put_private
from devstack.native.system import System

VARIABLES = "TEST_POSTGRES_URL", "TEST_RABBITMQ_URL", "TEST_RABBITMQ_MANAGEMENT_URL"
PROCESSES = 3
"""More would not be quicker on two cores: beside them run a database and a broker, or several."""
PARTS: dict[str, list[str]] = {
    "all": [],  # pytest's own testpaths
    "orders": ["service-orders"],
    "processor": ["service-processor"],
    "libs": ["libs", "tools", "tests/architecture"],
}


def exports(system: System) -> dict[str, str]:
    """What the tests read: the superuser, the administrator, and his management API."""
    login = f"{rabbitmq.ADMIN}:{rabbitmq.ADMIN_PASSWORD}@"
    return {
        "TEST_POSTGRES_URL": system.admin_database_url,
        "TEST_RABBITMQ_URL": system.admin_rabbitmq_url,
        "TEST_RABBITMQ_MANAGEMENT_URL": system.urls["management"].replace(
            "http://", f"http://{login}"
        ),
    }


def run(layout: Layout, env: Mapping[str, str], part: str, arguments: str) -> int:
    """pytest's exit status; whatever happens, what was brought up is gone afterwards."""
    layout.prepare()
    Venv(layout, say).ensure()
    with infrastructure(layout, env) as urls:
        return _pytest(layout, {**env, **urls}, part, arguments)


@contextmanager
def infrastructure(layout: Layout, env: Mapping[str, str]) -> Iterator[Mapping[str, str]]:
    if all(env.get(name) for name in VARIABLES):
        say("tests use the PostgreSQL and RabbitMQ that TEST_… name")
        yield {}
        return
    docker = Docker(layout, env, containers.FILE)
    is_docker = stack_choice.for_start(layout, env, docker).stack == stack_choice.DOCKER
    _prepare_machine(layout, must=not is_docker)
    with containers.running(layout, env) if is_docker else _by_processes(layout) as urls:
        yield urls


def _prepare_machine(layout: Layout, *, must: bool) -> None:
    """Beside Docker too: some tests start a system of their own, as processes."""
    try:
        prerequisites.install(layout, Wanted(postgres=True, rabbitmq=True, redis=True))
    except Trouble as lack:
        if must:
            raise
        say(f"tests that start a system of their own will fail: {lack}")


@contextmanager
def _by_processes(layout: Layout) -> Iterator[Mapping[str, str]]:
    _sweep_old(layout.home / "test")
    home = layout.home / "test" / str(os.getpid())
    system = System(Layout(layout.checkout, home), with_services=False, durable=False)
    try:
        system.start()
        say("PostgreSQL and RabbitMQ for the tests are ready")
        yield exports(system)
    finally:
        system.destroy()


def _sweep_old(folder: Path) -> None:
    """Runs are named by the pid of their command."""
    for home in folder.glob("*") if folder.exists() else ():
        if home.name.isdecimal() and not processes.is_command(int(home.name), "devstack"):
            System(Layout(home.parents[2], home)).destroy()


def _pytest(layout: Layout, env: Mapping[str, str], part: str, arguments: str) -> int:
    """Ctrl-C goes to pytest, which then reports; this command waits for it and tidies up."""
    command = [str(layout.python), "-m", "pytest", *_selection(layout, part, arguments)]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, cwd=layout.checkout, env=dict(env), preexec_fn=_hear_ctrl_c)  # noqa: PLW1509
    try:
        return child.wait()
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait()
        signal.signal(signal.SIGINT, before)


def _selection(layout: Layout, part: str, arguments: str) -> list[str]:
    """The part's folders, by several processes, unless the arguments name some themselves."""
    words = shlex.split(arguments)
    if any((layout.checkout / word.partition("::")[0]).exists() for word in words):
        return words
    folders = [folder for folder in PARTS[part] if (layout.checkout / folder).exists()]
    return ["-n", str(PROCESSES), "--dist", "loadgroup", "--no-loadscope-reorder", *folders, *words]


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def leave_running(layout: Layout) -> None:
    """`test-env`: leave PostgreSQL and RabbitMQ for tests running, print their variables."""
    layout.prepare()
    system = _left_running(layout)
    saved = system.layout.home / "exports"
    if not (saved.exists() and system.supervisor.answers()):
        system.stop()
        system.start()
        lines = [f"export {name}='{url}'\n" for name, url in exports(system).items()]
        put_private(saved, "".join(lines))
    plain(saved.read_text().rstrip())


def end_left_running(layout: Layout) -> None:
    _left_running(layout).destroy()


def _left_running(layout: Layout) -> System:
    home = Layout(layout.checkout, layout.home / "test-env")
    return System(home, with_services=False, durable=False, tied=False)
