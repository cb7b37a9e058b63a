"""How a process ends: status and lines, tried on real processes."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


def program(body: str) -> list[str]:
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    head = (
        "import asyncio, os, signal\nfrom servicekit.process.entrypoint import run, stop_on_signals"
    )
    error = "from servicekit.process.startup_errors import BadSettings, StartupProblem"
    source = (
        f"{head}\n{error}\nasync def main():\n{lines}\nrun('toys', main, refusals=(LookupError,))"
    )
    return [sys.executable, "-c", source]


def outcome(body: str) -> tuple[int, str, str]:
    done = subprocess.run(program(body), capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_startup_problem_is_one_line_and_status_2() -> None:
    status, out, err = outcome("raise BadSettings('X is not set\\n  (example: X=1)')")
    assert (status, out, err) == (2, "", "toys: X is not set (example: X=1)\n")


def test_a_startup_problem_inside_a_task_group_is_one_line_too() -> None:
    body = "async def fail(): raise StartupProblem('port taken')\n"
    body += "async with asyncio.TaskGroup() as group: group.create_task(fail())"
    assert outcome(body) == (2, "", "toys: port taken\n")


def test_a_declared_refusal_is_one_line_and_status_2() -> None:
    body = "async def fail(): raise KeyError('no queue')\n"
    body += "async with asyncio.TaskGroup() as group: group.create_task(fail())"
    assert outcome(body) == (2, "", "toys: 'no queue'\n")


def test_a_bug_keeps_its_traceback_and_status_1() -> None:
    status, _, err = outcome("raise ValueError('bug')")
    assert status == 1
    assert "Traceback" in err


def test_a_main_that_returns_ends_with_status_0() -> None:
    assert outcome("pass") == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_to_stop(number: signal.Signals) -> None:
    body = f"stop = stop_on_signals()\nos.kill(os.getpid(), {int(number)})\nawait stop.wait()"
    assert outcome(body) == (0, "", "")


def test_the_second_signal_ends_at_once() -> None:
    body = "stop = stop_on_signals()\nos.kill(os.getpid(), signal.SIGTERM)\nawait stop.wait()\n"
    body += "os.kill(os.getpid(), signal.SIGTERM)\nawait asyncio.sleep(60)"
    assert outcome(body) == (1, "", "")
