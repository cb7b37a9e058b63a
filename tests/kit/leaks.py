"""No password of a server that the tests use may be read anywhere: a test that shows one fails.

Looked at: what a test logs and prints, in this process or in others that inherit its output; what
other processes print into a pipe, and commands into a test's hands; the log files of systems that
tests start; and why a test failed.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import pytest
from typer.testing import CliRunner, Result

from devstack.native.rabbitmq import ADMIN, ADMIN_PASSWORD
from devstack.native.services import SERVICES

URLS = ("TEST_POSTGRES_URL", "TEST_RABBITMQ_URL", "TEST_RABBITMQ_MANAGEMENT_URL")
ON_PURPOSE = f"login {ADMIN} / {ADMIN_PASSWORD}"
"""How `make dev` says how to get into the management UI of a development machine."""
SHORTEST = 8
"""A shorter one may be a word."""


def passwords() -> frozenset[str]:
    """Those of the test servers and of the services, as they are and percent-encoded."""
    given = (urlsplit(os.environ.get(name, "")).password or "" for name in URLS)
    services = [password for s in SERVICES for password in (s.password, s.owner_password)]
    plain = {unquote(secret) for secret in given} | {ADMIN_PASSWORD, *services}
    return frozenset(
        form for secret in plain if len(secret) >= SHORTEST for form in (secret, quote(secret, ""))
    )


class Leaks:
    """Collects what commands and processes print, and fails a test that shows a password."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = frozenset(secrets)
        self._heard: list[str] = []

    def shows(self, text: str) -> bool:
        text = text.replace(ON_PURPOSE, "")
        return any(secret in text for secret in self._secrets)

    def masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def heard(self, *outputs: str | bytes | None) -> None:
        """Keep what a command printed, if a password is in it."""
        for output in outputs:
            text = output.decode(errors="replace") if isinstance(output, bytes) else output or ""
            if self.shows(text):
                self._heard.append(text)

    def check(self, report: pytest.TestReport) -> None:
        """Fail a test that showed a password; say where, without it."""
        heard, self._heard = self._heard, []
        places = [*report.sections, *(("what a command printed", text) for text in heard)]
        if report.longrepr is not None:
            places.append(("why it failed", str(report.longrepr)))
        shown = [(place, text) for place, text in places if self.shows(text)]
        if shown:
            report.outcome = "failed"
            report.sections = [(place, self.masked(text)) for place, text in report.sections]
            told = "\n\n".join(f"{place}:\n{self.masked(text)[:4_000]}" for place, text in shown)
            report.longrepr = f"a password of a test server was shown\n{told}"

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hear what processes print into pipes, and what `CliRunner` gives to tests."""
        communicate, invoke = subprocess.Popen.communicate, CliRunner.invoke

        def communicated(process: Any, *args: Any, **options: Any) -> tuple[Any, Any]:
            outputs = communicate(process, *args, **options)
            self.heard(*outputs)
            return outputs

        def invoked(runner: Any, *args: Any, **options: Any) -> Result:
            result = invoke(runner, *args, **options)
            self.heard(result.output, repr(result.exception))
            return result

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(subprocess.Popen, "communicate", communicated)
            patch.setattr(CliRunner, "invoke", invoked)
            yield


def refuse_leaks(folder: Path) -> None:
    """Fail if a file of this folder of logs shows a password."""
    leaks = Leaks(passwords())
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            lines = file.read_text(errors="replace").splitlines()
            shown = [leaks.masked(line) for line in lines if leaks.shows(line)]
            assert not shown, f"{file.name} shows a password: {shown[:3]}"
