"""Becomes one supervised program: `exec_wrapper.py NAME`, run by supervisor in the system's folder.

First it waits for what a SIGKILL left: PostgreSQL's old backends, a lost beam, an epmd that is not
up yet. A program that died moments after its start waits a little, so that supervisor can restart
it for ever without using up a processor.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from devstack.host import ports, processes
from devstack.host.waiting import until

SHORT_LIFE, BRAKE = 3.0, 2.0  # seconds


def segment_attached(data: Path, table: Path = Path("/proc/sysvipc/shm")) -> bool:
    """Whether processes of an earlier postmaster still hold its shared memory.

    Line 7 of postmaster.pid is `key id` (PostgreSQL, miscinit.c).
    """
    try:
        identifier = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except (OSError, IndexError):
        return False
    return any(row[1] == identifier and int(row[6]) > 0 for row in rows)


def before_postgres(home: Path, needs: Mapping[str, str]) -> None:
    del needs
    until(lambda: not segment_attached(home / "postgres" / "data"), 20)


def before_rabbitmq(home: Path, needs: Mapping[str, str]) -> None:
    lost = {p for p in processes.belonging_to(home) if processes.program_of(p.pid) == "beam.smp"}
    processes.end(lost, grace=10)
    until(lambda: ports.answers(int(needs["epmd"])), 10)


FIRST: dict[str, Callable[[Path, Mapping[str, str]], None]] = {
    "postgres": before_postgres,
    "rabbitmq": before_rabbitmq,
}


def brake(record: Path) -> float:
    """How long to wait before this start, in seconds, by the age of the last start's record."""
    try:
        age = time.time() - record.stat().st_mtime
    except OSError:
        return 0.0
    return BRAKE if 0 <= age < SHORT_LIFE else 0.0


def main(name: str) -> None:
    home = Path.cwd()
    program = json.loads((home / "run" / "programs.json").read_text())[name]
    time.sleep(brake(home / "run" / f"{name}.pid"))
    processes.record(home, name)
    if program["first"]:
        FIRST[program["first"]](home, program["needs"])
    os.chdir(program["folder"])
    argv: list[str] = program["argv"]
    os.execvpe(argv[0], argv, {**program["env"], processes.MARK: str(home)})  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
