"""`make clean` removes data, logs and venv, after a question."""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from devstack.docker import containers
from devstack.docker.stack import Docker
from devstack.host.console import plain
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.locking import exclusive
from devstack.native.system import System


def agreed(env: Mapping[str, str]) -> bool:
    if env.get("YES") == "1":
        return True
    if not sys.stdin.isatty():
        raise Trouble("make clean removes the data and venv/: say YES=1 make clean", status=2)
    return input("Remove all data (.local) and venv/? [y/N] ").strip().lower() in ("y", "yes")


def run(layout: Layout, env: Mapping[str, str]) -> None:
    if not agreed(env):
        plain("nothing removed")
        return
    with exclusive(layout):
        for docker in _projects(layout, env):
            if not docker.remove():
                plain(f"{docker.project}: its volumes may be left (docker volume ls)")
        for home in systems(layout):
            System(Layout(layout.checkout, home)).destroy()
        for folder in (layout.home, layout.venv):
            remove(folder)


def _projects(layout: Layout, env: Mapping[str, str]) -> Iterator[Docker]:
    """Every Compose project of this checkout, those of killed test runs included."""
    for folder in sorted(layout.home.glob("docker*")):
        suffix = folder.name.removeprefix("docker")
        yield Docker(layout, env, containers.FILE if suffix else "docker-compose.yml", suffix)


def systems(layout: Layout) -> list[Path]:
    """Every folder under .local that holds a system, innermost first."""
    tests = [file.parent for file in layout.home.glob("*/*/supervisord.conf")]
    others = [file.parent for file in layout.home.glob("*/supervisord.conf")]
    return [*tests, *others, layout.home]


def remove(folder: Path) -> None:
    problems: list[str] = []
    shutil.rmtree(folder, onerror=lambda _, path, __: problems.append(str(path)))
    if folder.exists():
        owner = Path(problems[0] if problems else folder).lstat().st_uid
        raise Trouble(
            f"cannot remove {folder}: uid {owner} owns part of it and you are uid "
            f"{os.geteuid()}; run make clean as that user"
        )
