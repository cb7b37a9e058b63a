"""`make test` runs pytest with its own PostgreSQL and RabbitMQ, apart from a running system.

Each run has its own folder under `.local/test`, so several may run at once. A run removes the
folders that killed runs left.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devstack.commands import stack_choice
from devstack.commands.servers import VARIABLES, variables_of
from devstack.docker import containers
from devstack.docker.stack import Docker
from devstack.host import browser, processes
from devstack.host.console import say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.venv import Venv
from devstack.native import prerequisites, prometheus
from devstack.native.infrastructure import Wanted
from devstack.native.system import System

PROCESSES = 3
"""More are not faster on two cores, because a database and a broker run beside them."""
PARTS: dict[str, list[str]] = {
    "all": [],  # pytest's own testpaths
    "orders": ["service-orders"],
    "processor": ["service-processor"],
    "libs": ["libs", "tools", "tests/architecture"],
}


def run(layout: Layout, env: Mapping[str, str], part: str, arguments: str) -> int:
    """Returns pytest's exit status. The servers are removed afterwards, whatever happens."""
    layout.prepare()
    Venv(layout, say).ensure()
    if part == "all":
        browser.install(layout)
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
    """Some tests start a system of their own as processes, beside Docker too."""
    try:
        prerequisites.install(layout, Wanted(postgres=True, rabbitmq=True, redis=True))
    except Trouble as lack:
        if must:
            raise
        say(f"tests that start a system of their own will fail: {lack}")
    if not prometheus.find_server():
        prerequisites.install_for_tests(layout, prometheus.NAME, "tests/alarms")


@contextmanager
def _by_processes(layout: Layout) -> Iterator[Mapping[str, str]]:
    _sweep_old(layout.home / "test")
    home = layout.home / "test" / str(os.getpid())
    system = System(Layout(layout.checkout, home), with_services=False, durable=False)
    try:
        system.start()
        say("PostgreSQL and RabbitMQ for the tests are ready")
        yield variables_of(system)
    finally:
        system.destroy()


def _sweep_old(folder: Path) -> None:
    """A run's folder is named by the pid of its command."""
    for home in folder.glob("*") if folder.exists() else ():
        if home.name.isdecimal() and not processes.is_command(int(home.name), "devstack"):
            System(Layout(home.parents[2], home)).destroy()


def _pytest(layout: Layout, env: Mapping[str, str], part: str, arguments: str) -> int:
    """Ctrl-C goes to pytest, which reports; this command waits for it and cleans up."""
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
    """The part's folders, in several processes, unless the arguments name paths."""
    words = shlex.split(arguments)
    if any((layout.checkout / word.partition("::")[0]).exists() for word in words):
        return words
    folders = [folder for folder in PARTS[part] if (layout.checkout / folder).exists()]
    return ["-n", str(PROCESSES), "--dist", "loadgroup", "--no-loadscope-reorder", *folders, *words]


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
