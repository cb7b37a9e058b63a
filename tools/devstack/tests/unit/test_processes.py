import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.host import processes
from devstack.host.processes import MARK, Process
from devstack.host.waiting import until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
DEAF = (
    "import os, pathlib, signal, time; signal.signal(15, signal.SIG_IGN);"
    "pathlib.Path(os.environ['READY']).touch(); time.sleep(600)"
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "run").mkdir()
    yield tmp_path
    processes.sweep(tmp_path, grace=0)


def _marked(home: Path, command: list[str] = SLEEP) -> Process:
    """A process of this folder, which init or the test reaps."""
    ready = home / "ready"
    child = subprocess.Popen(command, env={MARK: str(home), "READY": str(ready)})
    assert until(lambda: command is SLEEP or ready.exists(), 10)
    found = processes.identify(child.pid)
    assert found is not None
    child.returncode = 0  # ended by sweep, not through Popen
    return found


def test_a_reused_pid_is_another_process() -> None:
    own = processes.identify(os.getpid())
    assert own is not None
    earlier = Process(own.pid, own.started - 1)
    assert processes.alive(own)
    assert not processes.alive(earlier)
    assert not processes.send(earlier, signal.SIGKILL)


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    assert until(lambda: processes.identify(child.pid) is None, 10)
    child.wait()


def test_what_carries_the_folder_belongs_to_it_and_nothing_else(home: Path) -> None:
    (home / "other" / "run").mkdir(parents=True)
    ours = _marked(home)
    _marked(home / "other")
    try:
        assert processes.belonging_to(home) == {ours}
    finally:
        processes.sweep(home / "other", grace=0)


def test_a_recorded_process_belongs_even_without_the_mark(home: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from devstack.host import processes;"
        "processes.record(Path(sys.argv[1]), 'redis'); os.execve(sys.argv[2], ['sleep', '600'], {})"
    )
    source = str(Path(processes.__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(home), "/bin/sleep"], env={"PYTHONPATH": source}
    )
    assert until(lambda: processes.program_of(child.pid) == "sleep", 10)
    assert {process.pid for process in processes.belonging_to(home)} == {child.pid}
    child.kill()
    child.wait()
    assert processes.belonging_to(home) == set()


def test_a_sweep_ends_even_what_ignores_sigterm(home: Path) -> None:
    _marked(home)
    _marked(home, [sys.executable, "-c", DEAF])
    assert processes.sweep(home, grace=0.2) == set()
    assert processes.belonging_to(home) == set()
