"""The example as a newcomer finds it: its README's commands, on the built wheel, in a new venv."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from kit.waiting import until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "fastapi-minimal"
README = (EXAMPLE / "README.md").read_text()
WITHIN = 30.0


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library as it would be published; built beside the checkout, not in it."""
    folder = tmp_path_factory.mktemp("wheel")
    leave = shutil.ignore_patterns("build", "*.egg-info", "__pycache__", "tests")
    shutil.copytree(ROOT / "libs" / "outbox", folder / "outbox", ignore=leave)
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", folder, folder / "outbox", cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README's `pip install` gives, in the versions that are tested here.

    Pins without their hashes: with hashes pip wants one of the wheel that was just built. The
    same versions were installed by hash for this test to run at all.
    """
    made = tmp_path_factory.mktemp("newcomer") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", made, cwd=made.parent)
    pins = re.findall(
        r"^\S+==\S+(?: ; [^\\\n]+)?", (ROOT / "requirements/runtime.txt").read_text(), re.M
    )
    constraints = made.parent / "constraints.txt"
    constraints.write_text("\n".join(pins))
    others = re.search(r'pip install "\.\./\.\./libs/outbox\[cli\]" (.*)', README)
    assert others
    pip = (sys.executable, "-m", "pip", "--python", made / "bin/python", "install", "--quiet")
    run(*pip, "-c", constraints, f"{wheel}[cli]", *others[1].split(), cwd=made.parent)
    return made


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    """A copy of the example, far away from the checkout."""
    folder = tmp_path / "fastapi-minimal"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("venv", "__pycache__"))
    return folder


@contextmanager
def running(*command: str | Path, cwd: Path, env: dict[str, str]) -> Iterator[Path]:
    """A process in the background for the length of the block, and what it says."""
    log = cwd / f"{Path(command[0]).name}-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in command], cwd=cwd, env=env, stdout=out, stderr=out
        )
    try:
        yield log
    finally:
        process.terminate()
        status = process.wait(15)
    assert status in (0, -15), log.read_text()


def test_the_readme_alone_leads_to_a_cooked_soup(
    venv: Path, newcomer: Path, database_url: str, broker_url: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    path = f"{venv / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
    env = {"PATH": path, "DATABASE_URL": database_url, "RABBITMQ_URL": broker_url}
    commands = "alembic upgrade head", "python worker.py", "uvicorn app:app --port 8080"
    for command in (*commands, "outbox status", "outbox doctor --app events:TOPOLOGY"):
        assert command in README
    run(venv / "bin/alembic", "upgrade", "head", cwd=newcomer, env=env)
    run(venv / "bin/alembic", "check", cwd=newcomer, env=env)
    with (
        running(venv / "bin/python", "worker.py", cwd=newcomer, env=env) as worker,
        running(venv / "bin/uvicorn", "app:app", "--port", port, cwd=newcomer, env=env) as api,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as shop,
    ):
        assert until(lambda: answers(shop), WITHIN), api.read_text()
        placed = shop.post("/orders", json={"meal": "soup"})
        assert (placed.status_code, placed.json()) == (201, {"id": 1, "meal": "soup"})
        assert until(lambda: meals(database_url) == [(1, "soup")], WITHIN), worker.read_text()
        assert "cooked soup for order 1" in worker.read_text()
        assert "kitchen.orders" in run(venv / "bin/outbox", "status", cwd=newcomer, env=env)
        assert doctor_errors(venv, cwd=newcomer, env=env) == []


def doctor_errors(venv: Path, *, cwd: Path, env: dict[str, str]) -> list[str]:
    """But for durability: the tests' own PostgreSQL may run without fsync."""
    doctor = (venv / "bin/outbox", "doctor", "--app", "events:TOPOLOGY", "--json")
    said = subprocess.run(doctor, cwd=cwd, env=env, capture_output=True, check=False).stdout
    wrong = [entry for entry in json.loads(said)["findings"] if entry["level"] == "error"]
    return [entry["says"] for entry in wrong if entry["check"] != "durability"]


def answers(shop: httpx.Client) -> bool:
    try:
        return shop.get("/openapi.json").status_code == 200
    except httpx.TransportError:
        return False


def meals(url: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT order_id, meal FROM meals ORDER BY order_id").fetchall()


def test_the_wheel_says_that_it_is_typed_and_mypy_believes_it(
    wheel: Path, venv: Path, newcomer: Path
) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "outbox/py.typed" in names
    assert not [name for name in names if "test_" in name]
    mypy = (sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent")
    python = ("--python-executable", venv / "bin/python")
    env = {"PATH": "/usr/bin:/bin", "DATABASE_URL": ""}
    said = run(
        *mypy, *python, "tables.py", "events.py", "app.py", "worker.py", cwd=newcomer, env=env
    )
    assert "no issues found in 4 source files" in said


def test_the_library_does_without_the_command_line(venv: Path, tmp_path: Path) -> None:
    without = "import sys; sys.modules['typer'] = None; import outbox; from outbox.cli import main"
    main = f"{without}\nmain()"
    done = subprocess.run(
        [venv / "bin/python", "-c", main], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install 'outbox-rabbitmq[cli]'" in done.stderr
