"""`make audit-dependencies`: an audit that saw nothing is not one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from devstack.host.layout import CHECKOUT

SCRIPT = CHECKOUT / ".ci/audit-dependencies"


def audit(folder: Path, said: str, status: int) -> subprocess.CompletedProcess[str]:
    """With a `pip-audit` that says this, and keeps how it was called."""
    fake = folder / "pip-audit"
    fake.write_text(f'#!/bin/sh\necho "$@" >>"{folder}/calls"\necho "{said}"\nexit {status}\n')
    fake.chmod(0o755)
    return run(f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin")


def run(path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT], env={"PATH": path}, capture_output=True, text=True, check=False, timeout=60
    )


def test_all_lock_files_are_audited_and_what_was_skipped_fails(tmp_path: Path) -> None:
    done = audit(tmp_path, "No known vulnerabilities found", 0)
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call.split()[-1] for call in calls] == [
        "requirements/dev.txt",
        "requirements/pictures.txt",
        "requirements/runtime.txt",
        "requirements/traces.txt",
    ]
    assert all("--strict" in call for call in calls)


@pytest.mark.parametrize(
    "said",
    [
        "ERROR:pip_audit._cli:alembic: Dependency not found on PyPI and could not be audited",
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
    ],
)
def test_data_that_cannot_be_reached_is_one_line_and_a_failure(tmp_path: Path, said: str) -> None:
    done = audit(tmp_path, said, 1)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"{lock} was not audited: the vulnerability data cannot be reached from here"
        for lock in (
            "requirements/dev.txt",
            "requirements/pictures.txt",
            "requirements/runtime.txt",
            "requirements/traces.txt",
        )
    ]


def test_what_is_found_is_shown_and_fails(tmp_path: Path) -> None:
    done = audit(tmp_path, "Found 1 known vulnerability in 1 package", 1)
    assert done.returncode == 1
    assert "Found 1 known vulnerability" in done.stderr


def test_a_machine_without_the_tool_is_told_so(tmp_path: Path) -> None:
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    env = {"PATH": str(tmp_path)}
    done = subprocess.run(
        ["/bin/bash", SCRIPT], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == "make audit-dependencies needs pip-audit: pip install pip-audit\n"
