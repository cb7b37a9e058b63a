"""Processes by identity: a pid together with its start time, so that a reused pid is never hit.

What is left of a system is found by three signs, never by a name alone: the records in its `run`
folder, the mark `DEVSTACK_HOME=<its folder>` in the environment, and descent from these. PostgreSQL
and Redis overwrite the memory their environment is read from; a backend that lost its postmaster is
known by its working folder, the data folder.
"""

import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from devstack.host.errors import Trouble
from devstack.host.waiting import until

MARK = "DEVSTACK_HOME"
PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    pid: int
    started: int  # clock ticks since boot


def _stat(pid: int) -> list[str]:
    """The fields after the command's name, which may itself hold spaces and brackets."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def identify(pid: int) -> Process | None:
    """The living process with this pid; a zombie is dead."""
    fields = _stat(pid)
    if not fields or fields[0] in "ZX":
        return None
    return Process(pid, int(fields[19]))


def alive(process: Process) -> bool:
    return identify(process.pid) == process


def parent_of(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def command_of(pid: int) -> str:
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def is_command(pid: int, word: str) -> bool:
    """Whether a process has this pid and, where that can be seen, `word` in its command."""
    if PROC.exists():
        return word in command_of(pid)
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def program_of(pid: int) -> str:
    """The kernel's short name of the program, at most 15 characters."""
    try:
        return (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def send(process: Process, number: signal.Signals) -> bool:
    """Signal exactly this process; False when it is gone.

    The pidfd pins the process between the check of its start time and the signal.
    """
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except OSError:  # a kernel or a sandbox without pidfd
        return _send_by_number(process, number)
    try:
        if not alive(process):
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def kill(pid: int) -> bool:
    """SIGKILL to the process that has this pid now; False when there is none."""
    process = identify(pid)
    return process is not None and send(process, signal.SIGKILL)


def _send_by_number(process: Process, number: signal.Signals) -> bool:
    if not alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def demand_proc() -> None:
    if not PROC.exists():
        raise Trouble("processes are found by /proc, which only Linux has: STACK=docker make start")


def pids() -> Iterator[int]:
    """No process on systems without /proc, where the system runs only in Docker."""
    entries = PROC.iterdir() if PROC.exists() else ()
    return (int(entry.name) for entry in entries if entry.name.isdigit())


def _carries(pid: int, mark: bytes) -> bool:
    try:
        return mark in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _is_postgres_in(pid: int, data: Path) -> bool:
    if program_of(pid) != "postgres":
        return False
    try:
        return (PROC / str(pid) / "cwd").readlink() == data
    except OSError:
        return False


def _with_descendants(roots: set[int]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid in pids():
        children.setdefault(parent_of(pid), []).append(pid)
    found, todo = set(roots), list(roots)
    while todo:
        fresh = [pid for pid in children.get(todo.pop(), []) if pid not in found]
        found.update(fresh)
        todo.extend(fresh)
    return found


def belonging_to(home: Path) -> set[Process]:
    """Every living process of the system whose folder this is, except the caller."""
    mark = f"{MARK}={home}".encode()
    data = home / "postgres" / "data"
    roots = {pid for pid in pids() if _carries(pid, mark) or _is_postgres_in(pid, data)}
    roots |= _recorded(home)
    found = _with_descendants(roots) - {os.getpid()}
    return {process for pid in found if (process := identify(pid))}


def record(home: Path, name: str) -> None:
    """Record the identity of this process, before it becomes the program called `name`."""
    own = identify(os.getpid())
    assert own is not None
    (home / "run" / f"{name}.pid").write_text(f"{own.pid} {own.started} {_boot()}")


def _boot() -> str:
    """Start times count from the boot, so a record is worth nothing after another one."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _recorded(home: Path) -> set[int]:
    found: set[int] = set()
    for file in (home / "run").glob("*.pid"):
        fields = file.read_text().split()
        if len(fields) == 3 and fields[2] == _boot():
            process = Process(int(fields[0]), int(fields[1]))
            found |= {process.pid} if alive(process) else set()
    return found


def end(processes: Iterable[Process], grace: float) -> set[Process]:
    """SIGTERM, then SIGKILL after the grace period; returns the processes that still live."""
    living = {process for process in processes if send(process, signal.SIGTERM)}
    if until(lambda: not any(map(alive, living)), grace):
        return set()
    stubborn = {process for process in living if send(process, signal.SIGKILL)}
    until(lambda: not any(map(alive, stubborn)), 10)
    return {process for process in stubborn if alive(process)}


def sweep(home: Path, grace: float = 5) -> set[Process]:
    """End everything that belongs to this folder; returns the processes that remain."""
    for _ in range(5):
        left = belonging_to(home)
        if not left:
            return set()
        end(left, grace)
    return belonging_to(home)
