"""The check for passwords finds them wherever a test may show one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer import Typer, echo
from typer.testing import CliRunner

from kit.leaks import Leaks, refuse_leaks

SECRET = "swordfish"


def report(**fields: Any) -> pytest.TestReport:
    usual: dict[str, Any] = {
        "nodeid": "x",
        "location": ("x", 1, "x"),
        "keywords": {},
        "outcome": "passed",
    }
    more: dict[str, Any] = {"longrepr": None, "when": "call", "sections": []}
    return pytest.TestReport(**{**usual, **more, **fields})


@pytest.mark.parametrize(
    "shown",
    [
        report(sections=[("Captured log call", f"INFO connects to amqp://shop:{SECRET}@mq/")]),
        report(sections=[("Captured stderr call", SECRET)]),
        report(outcome="failed", longrepr=f"assert '{SECRET}' == ''"),
    ],
    ids=["log", "stderr", "failure"],
)
def test_a_password_that_is_shown_fails_the_test(shown: pytest.TestReport) -> None:
    Leaks([SECRET]).check(shown)
    assert shown.outcome == "failed"
    assert SECRET not in f"{shown.longrepr}{shown.sections}"


def test_a_test_that_shows_none_is_left_alone() -> None:
    shown = report(sections=[("Captured log call", "INFO connects to amqp://shop:***@mq/")])
    Leaks([SECRET]).check(shown)
    assert (shown.outcome, shown.longrepr) == ("passed", None)


def test_what_another_process_prints_into_a_pipe_is_heard() -> None:
    leaks, shown = Leaks([SECRET]), report()
    with leaks.listening():
        command = [sys.executable, "-c", f"print('{SECRET}')"]
        subprocess.run(command, capture_output=True, check=True)
    leaks.check(shown)
    assert shown.outcome == "failed"


def test_what_a_command_prints_is_heard() -> None:
    leaks, shown, app = Leaks([SECRET]), report(), Typer()

    @app.command()
    def tells() -> None:
        echo(SECRET)

    with leaks.listening():
        CliRunner().invoke(app, [])
    leaks.check(shown)
    assert shown.outcome == "failed"


def test_a_log_file_that_shows_one_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_POSTGRES_URL", f"postgresql://postgres:{SECRET}@db/x")
    (tmp_path / "worker.log").write_text("starts\nconnects to ***\n")
    refuse_leaks(tmp_path)
    (tmp_path / "worker.log").write_text(f"starts\nconnects to {SECRET}\n")
    with pytest.raises(
        AssertionError, match=r"worker\.log shows a password: \['connects to \*\*\*'"
    ):
        refuse_leaks(tmp_path)
