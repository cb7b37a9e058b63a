"""Ends a system that is known by its folder alone, whatever became of the start command."""

import contextlib
import http.client
import shutil
import signal
import xmlrpc.client
from collections.abc import Iterator

from devstack.host import processes
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.ports import Ports
from devstack.host.waiting import until
from devstack.native import operator_console, rabbitmq, services, supervisor_config
from devstack.native.state import State
from devstack.native.supervisor import Supervisor

GRACE = 20.0  # seconds for processes without a supervisor; beam needs 8


def stop(layout: Layout) -> None:
    """End everything that belongs to this folder, services before servers; the data stays."""
    State.forget(layout)
    supervisor = Supervisor(layout)
    if supervisor.answers():
        with _supervisor_may_die():
            _in_order(layout, supervisor)
        supervisor.shutdown()
    left = processes.sweep(layout.home, GRACE)
    if left:
        numbers = ", ".join(str(process.pid) for process in left)
        raise Trouble(
            f"processes {numbers} do not end: look at them with ps -fp, "
            "they may belong to another user"
        )
    supervisor_config.forget(layout)


def _in_order(layout: Layout, supervisor: Supervisor) -> None:
    names = list(supervisor.states())
    first = [name for name in names if name in (*services.PROGRAMS, operator_console.NAME)]
    supervisor.stop_and_wait(first, 60)
    if supervisor.states().get(rabbitmq.NAME, {}).get("pid"):
        _let_rabbitmq_boot(layout, supervisor)
    supervisor.stop_and_wait([name for name in names if name not in first], 60)


@contextlib.contextmanager
def _supervisor_may_die() -> Iterator[None]:
    """Supervisor may die meanwhile; the sweep does the rest."""
    with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error, Trouble):
        yield


def _let_rabbitmq_boot(layout: Layout, supervisor: Supervisor) -> None:
    """A node that boots does not hear SIGTERM, and a killed one may lose its first schema."""
    port = Ports(layout.home).chosen.get("amqp", 0)
    until(lambda: rabbitmq.speaks_amqp(port) or not supervisor.pid_of(rabbitmq.NAME), 15)


def destroy(layout: Layout) -> None:
    """Kill everything and remove the folder, supervisord first, so that it restarts nothing."""
    if own := Supervisor(layout).process():
        processes.send(own, signal.SIGKILL)
    for _ in range(5):
        for process in processes.belonging_to(layout.home):
            processes.send(process, signal.SIGKILL)
    processes.sweep(layout.home)
    shutil.rmtree(layout.home, ignore_errors=True)
