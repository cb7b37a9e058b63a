"""What waking up costs on this machine: a statement that does nothing, with and without pauses.

A process that has slept begins with cold caches, and a virtual core that has slept has to be woken
by its host. So the same work costs several times as much CPU at fifty a second as in a row.
"""

from __future__ import annotations

import time
from pathlib import Path

import psycopg

IN_A_ROW, WITH_PAUSES, PAUSE = 2_000, 200, 0.02


def statement_cost(database_url: str) -> tuple[float, float]:
    """Microseconds of CPU, client and server together: with pauses of 20 ms, and in a row."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        _cost(connection, IN_A_ROW, 0.0)  # warms up
        return _cost(connection, WITH_PAUSES, PAUSE), _cost(connection, IN_A_ROW, 0.0)


def _cost(connection: psycopg.Connection, count: int, pause: float) -> float:
    server = connection.info.backend_pid
    before = time.thread_time() + _cpu_seconds(server)
    for _ in range(count):
        connection.execute("SELECT 1")
        if pause:
            time.sleep(pause)
    return (time.thread_time() + _cpu_seconds(server) - before) / count * 1e6


def _cpu_seconds(pid: int) -> float:
    """Of a process, in nanoseconds in the file (proc(5), `schedstat`)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
