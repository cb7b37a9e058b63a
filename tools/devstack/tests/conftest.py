"""A `docker` on PATH that is a short script, and a checkout to use it in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from devstack.host.layout import CHECKOUT, Layout
from kit.servers.fake_docker import FakeDocker


@pytest.fixture
def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = FakeDocker(folder)
    fake.install()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return fake


@pytest.fixture
def checkout(tmp_path: Path) -> Layout:
    """A folder with the compose files of this checkout and nothing else."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("docker-compose.yml", "docker-compose.test.yml"):
        shutil.copy(CHECKOUT / name, root / name)
    shutil.copytree(CHECKOUT / "deploy", root / "deploy")
    return Layout(root, root / ".local")
