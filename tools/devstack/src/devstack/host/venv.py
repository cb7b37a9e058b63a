"""The checkout's `venv/`: first the hashed packages of others, then those of the checkout.

There are two steps because pip's `--require-hashes` refuses local paths. `venv/.installed.json`
remembers by hash what was installed, so that a warm start neither runs pip nor needs a network.
"""

import fcntl
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.host import apt
from devstack.host.console import Say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout

_NO_INDEX = (
    "NewConnectionError",
    "Failed to establish",
    "Temporary failure in name resolution",
    "Could not find a version",
    "No matching distribution",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "ProxyError",
)
LOG_LIMIT = 1_000_000  # bytes
_VERSION = "import sys; print(*sys.version_info[:2])"
_PINNED = re.compile(r"^[A-Za-z0-9][^=\s]*==", re.MULTILINE)


class Venv:
    def __init__(self, layout: Layout, say: Say) -> None:
        self._layout = layout
        self._say = say
        self._stamp = layout.venv / ".installed.json"
        self._log = layout.log_of("pip")
        self._lock_file = layout.checkout / "requirements" / "dev.txt"

    @property
    def local(self) -> list[Path]:
        """The checkout's own packages."""
        root = self._layout.checkout
        found = [
            *root.glob("libs/*/pyproject.toml"),
            *root.glob("service-*/pyproject.toml"),
            *root.glob("tools/*/pyproject.toml"),
        ]
        return sorted(file.parent for file in found)

    def _hashes(self) -> dict[str, str]:
        projects = [folder / "pyproject.toml" for folder in self.local]
        return {"third parties": _hash([self._lock_file]), "local": _hash(projects)}

    def _installed(self) -> dict[str, str]:
        try:
            found: dict[str, str] = json.loads(self._stamp.read_text())
        except (OSError, ValueError):
            return {}
        return found

    def is_current(self) -> bool:
        return self.is_usable() and self._installed() == self._hashes()

    def is_usable(self) -> bool:
        """Whether the venv was made for this path and still has the Python it was made with.

        A copied one points elsewhere; after another minor version came to the system, the folder
        of its packages is one that Python does not look into.
        """
        try:
            made = (self._layout.venv / "pyvenv.cfg").read_text()
            command: list[str | Path] = [self._layout.python, "-c", _VERSION]
            said = subprocess.run(command, check=False, capture_output=True, text=True).stdout
        except OSError:
            return False
        here = re.search(rf"^command = .* {re.escape(str(self._layout.venv))}$", made, re.M)
        version = re.search(r"^version = (\d+)\.(\d+)", made, re.M)
        if not here or not version or said.split() != list(version.groups()):
            return False
        return tuple(map(int, version.groups())) >= (3, 11)

    def can_be_made(self) -> bool:
        """Whether there is a venv, or this Python can make one."""
        return self.is_usable() or importlib.util.find_spec("ensurepip") is not None

    def ensure(self) -> None:
        with self.locked():
            self.third_parties()
            self.local_packages()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One command at a time changes the venv."""
        with (self._layout.home / "venv.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def third_parties(self) -> None:
        if not self.is_usable():
            self._create()
        if self._installed().get("third parties") == self._hashes()["third parties"]:
            return
        count = len(_PINNED.findall(self._lock_file.read_text()))
        self._say(f"installing {count} packages into venv/ (pip)")
        self._pip(["--require-hashes", "-r", str(self._lock_file)], count)
        self._remember("third parties")

    def local_packages(self) -> None:
        if self._installed() == self._hashes():
            return
        self._say(f"installing the {len(self.local)} packages of this checkout")
        paths = [word for folder in self.local for word in ("-e", str(folder))]
        self._pip(["--no-deps", "--no-build-isolation", *paths])
        self._remember("local")

    def _remember(self, part: str) -> None:
        self._stamp.write_text(json.dumps({**self._installed(), part: self._hashes()[part]}))

    def forget_local(self) -> None:
        """The next `ensure` installs the checkout's own packages again."""
        kept = {name: value for name, value in self._installed().items() if name != "local"}
        if self._stamp.exists():
            self._stamp.write_text(json.dumps(kept))

    def _create(self) -> None:
        self._need_ensurepip()
        shutil.rmtree(self._layout.venv, ignore_errors=True)
        self._say(f"making venv/ with Python {sys.version.split()[0]}")
        command = [sys.executable, "-m", "venv", str(self._layout.venv)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            self._log.write_text(done.stdout + done.stderr)
            raise Trouble(f"cannot make venv/: python3 -m venv failed; see {self._log}")

    def _need_ensurepip(self) -> None:
        """Debian's python3 has no ensurepip; the package python3-venv adds it."""
        if importlib.util.find_spec("ensurepip"):
            return
        if not apt.allowed() or not sys.executable.startswith("/usr/bin/"):
            raise Trouble(
                f"this Python cannot make a venv (no ensurepip): {apt.advice('python3-venv')}"
            )
        apt.install(self._layout, ["python3-venv"], self._say)

    def _pip(self, arguments: list[str], expected: int = 0) -> None:
        command: list[str | Path] = [
            self._layout.python,
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--progress-bar=off",
            "--retries=2",
            *arguments,
        ]
        said: list[str] = []
        if self._log.exists() and self._log.stat().st_size > LOG_LIMIT:
            self._log.unlink()
        with (
            self._log.open("a") as log,
            subprocess.Popen(
                command,
                cwd=self._layout.checkout,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as pip,
        ):
            assert pip.stdout is not None
            for line in pip.stdout:
                log.write(line)
                said.append(line)
                self._progress(line, said, expected)
        if pip.returncode:
            raise Trouble(failure("".join(said), self._log))

    def _progress(self, line: str, said: list[str], expected: int) -> None:
        if line.startswith("Collecting "):
            collected = sum(other.startswith("Collecting ") for other in said)
            if collected % 20 == 0:
                self._say(f"  {collected} of {expected} packages fetched")
        elif line.startswith("Installing collected"):
            self._say("  unpacking")


def failure(output: str, log: Path) -> str:
    """Print pip's progress as a few lines."""
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in output:
        return f"a package does not match its hash in requirements/dev.txt; see {log}"
    if "No space left" in output:
        return f"the disk is full: make room and run it again; see {log}"
    if any(sign in output for sign in _NO_INDEX):
        return f"no network: pip cannot fetch packages; connect and run it again; see {log}"
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    return f"pip failed: {errors[-1][7:] if errors else 'no message'}; see {log}"


def _hash(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.parent.name.encode() + file.read_bytes())
    return digest.hexdigest()
