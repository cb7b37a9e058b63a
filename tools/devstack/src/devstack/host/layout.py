"""The paths: the checkout, and the folder (`home`) that holds the state of one system."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from devstack.host.errors import Trouble

CHECKOUT = Path(__file__).resolve().parents[5]


@dataclass(frozen=True)
class Layout:
    checkout: Path
    home: Path

    @property
    def venv(self) -> Path:
        return self.checkout / "venv"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    @property
    def logs(self) -> Path:
        return self.home / "log"

    @property
    def run(self) -> Path:
        """Files that exist only while the system runs."""
        return self.home / "run"

    def log_of(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def prepare(self) -> None:
        """Make the folders. Only this user can read them."""
        private(self.home)
        for folder in (self.logs, self.run):
            folder.mkdir(mode=0o700, exist_ok=True)


def of(checkout: Path = CHECKOUT) -> Layout:
    """The layout of `make start`."""
    return Layout(checkout, checkout / ".local")


def private(folder: Path) -> None:
    """Make a folder of this user's own; Trouble names another owner."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise Trouble(f"cannot make {folder}: {problem.strerror}") from problem
    found = folder.stat()
    if found.st_uid != os.geteuid():
        raise Trouble(
            f"{folder} belongs to uid {found.st_uid}, not to you (uid {os.geteuid()}): "
            "run as that user, or remove it as that user with make clean"
        )
    if stat.S_IMODE(found.st_mode) != 0o700:
        folder.chmod(0o700)


def fingerprint(folder: Path) -> str:
    """Eight characters that differ from checkout to checkout."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def make_readable(folder: Path) -> None:
    """Let the containers' users read the mounted files, whatever the umask of the clone."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))


def put_private(file: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    fresh = file.with_name(file.name + ".new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
        out.write(text)
    fresh.replace(file)
