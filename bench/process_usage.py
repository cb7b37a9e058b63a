"""CPU time of a system's processes, read from /proc: nothing in them has to answer."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from devstack.native.system import System

PYTHON = ("orders-api", "orders-worker", "processor-api", "processor-worker", "stubs")
SERVERS = ("postgres", "rabbitmq", "redis")
LOAD = "load generator"
_PROC, _TICK = Path("/proc"), os.sysconf("SC_CLK_TCK")


class CpuTimes:
    """Seconds of user and system time by process, each with its children."""

    def __init__(self, system: System) -> None:
        named = {name: system.pid_of(name) for name in (*PYTHON, *SERVERS)}
        self._pids = {name: pid for name, pid in named.items() if pid}
        self._pids["supervisor"] = _stat(self._pids["orders-api"])[0]

    def read(self) -> dict[str, float]:
        """The times since each process began; of the load generator, this process."""
        spent, children = _times()
        times = {name: _with_children(pid, spent, children) for name, pid in self._pids.items()}
        # All others are children of the supervisor.
        times["supervisor"] = spent.get(self._pids["supervisor"], 0.0)
        return {**times, LOAD: time.process_time()}


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds between two readings. A process that was restarted in between counts from 0."""
    return {name: max(0.0, at - before.get(name, 0.0)) for name, at in after.items()}


def of_system(seconds: Mapping[str, float]) -> float:
    """All but the load generator."""
    return sum(value for name, value in seconds.items() if name != LOAD)


def _times() -> tuple[dict[int, float], dict[int, list[int]]]:
    """Seconds of each process, with those of its children that ended; and living children."""
    spent: dict[int, float] = {}
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (found := _stat(int(entry.name))):
            parent, seconds = found
            spent[int(entry.name)] = seconds
            children.setdefault(parent, []).append(int(entry.name))
    return spent, children


def _stat(pid: int) -> tuple[int, float]:
    """The parent and the seconds (proc(5), utime to cstime); both 0 if the process is gone."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return 0, 0.0
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), sum(map(int, fields[11:15])) / _TICK


def _with_children(
    pid: int, spent: Mapping[int, float], children: Mapping[int, list[int]]
) -> float:
    below = (_with_children(child, spent, children) for child in children.get(pid, []))
    return spent.get(pid, 0.0) + sum(below)
