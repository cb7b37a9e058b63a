"""`outbox console` as a process: it serves until it is stopped, and refuses what cannot work."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from kit.waiting import wait_until
from outbox.cli.commands import app

PORT = "CONSOLE_PORT"


def refused(*words: str, **env: str) -> str:
    """What it says on stderr, in one line, with exit status 2."""
    run = CliRunner().invoke(app, ["console", *words], env=env)
    assert run.exit_code == 2, run.output
    [line] = run.stderr.strip().splitlines()
    return line


@contextmanager
def serving(**env: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and its URL once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "outbox.cli", "console", "--json"]
    with subprocess.Popen(
        command, env={**os.environ, **env, PORT: str(port)}, stdout=subprocess.PIPE, text=True
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is not None or _answers(url))
            yield process, url
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return bool(httpx.get(f"{url}/health/ready").json() == {"status": "ready"})
    except httpx.TransportError:
        return False


def test_it_serves_until_it_is_stopped(database_url: str) -> None:
    with serving(CONSOLE_SERVICES=f"shop={database_url}") as (process, url):
        assert "operator-dev-only" in httpx.get(f"{url}/login").text
        assert "server" not in httpx.get(f"{url}/login").headers
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20)
    assert process.returncode in (0, -signal.SIGTERM)
    assert f'"event": "the console of shop listens on {url}"' in said
    assert database_url not in said


def test_headers_of_a_proxy_that_is_not_trusted_change_nothing(database_url: str) -> None:
    with serving(CONSOLE_SERVICES=f"shop={database_url}") as (_, url):
        login = {"name": "viewer", "password": "viewer-dev-only"}
        forwarded = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "1.2.3.4"}
        answer = httpx.post(f"{url}/login", data=login, headers=forwarded)
    assert answer.status_code == 303
    assert "secure" not in answer.headers["set-cookie"].lower()


def test_an_empty_variable_counts_as_not_set(database_url: str) -> None:
    empty = dict.fromkeys(("CONSOLE_USERS_FILE", "CONSOLE_TRUSTED_PROXIES", "CONSOLE_APPS"), "")
    with serving(CONSOLE_SERVICES=f"shop={database_url}", **empty) as (_, url):
        assert _answers(url)


@pytest.mark.parametrize(
    ("words", "env", "says"),
    [
        ((), {}, "CONSOLE_SERVICES"),
        (("--service", "postgresql://u:secret@h/x"), {}, "NAME=VALUE"),
        (("--service", "a=mysql://u:secret@h/x"), {}, "postgresql://"),
        (("--service", "a=dbname=a"), {"CONSOLE_USER_FILE": "x"}, "did you mean"),
        (("--service", "a=dbname=a", "--app", "a=nowhere:nothing"), {}, "nowhere"),
        (("--service", "a=dbname=a"), {"APP_ENV": "production"}, "CONSOLE_USERS_FILE"),
        (("--service", "a=dbname=a", "--proxy-user-header", "X-User"), {}, "trusted proxies"),
        (("--service", "a=dbname=a", "--users-file", "/nowhere/users"), {}, "cannot be read"),
    ],
)
def test_what_cannot_work_is_one_line(
    words: tuple[str, ...], env: dict[str, str], says: str
) -> None:
    line = refused(*words, **env)
    assert line.startswith("outbox: ")
    assert says in line
    assert "secret" not in line


def test_a_password_is_hashed_for_the_users_file(tmp_path: Path) -> None:
    from outbox.console import Users

    run = CliRunner().invoke(app, ["console", "--hash-password"], input="one two\none two\n")
    assert run.exit_code == 0
    assert "one two" not in run.output
    file = tmp_path / "users"
    file.write_text(f"ann:operator:{run.stdout.strip()}\n")
    assert Users.read(file).verify("ann", "one two") is not None
