"""`make test-versions` tests the library's wheel on its lowest and its newest dependencies.

Each set is installed into a venv of its own under `.local/versions`. By default an application's
suite runs (test_stranger.py), with `--whole` all of the library's tests. `--python` names another
interpreter.
"""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from devstack.commands import tests
from devstack.host.console import say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout, private
from devstack.host.venv import Venv

LIBRARY = Path("libs/outbox")
STRANGER = LIBRARY / "tests/postgres/test_stranger.py"
SUITE = ["pytest", "pytest-asyncio"]
WHOLE = [
    "alembic",
    "asyncpg",
    "httpx",
    "hypothesis",
    "pydantic",
    "pytest-mock",
    "pytest-timeout",
    "uvloop",
]
LOCAL = ["libs/contracts", "libs/servicekit", "service-processor", "tools/devstack"]
"""Packages of this checkout that the library's tests use; installed without dependencies."""
SETTINGS = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
_BOUND = re.compile(r"(?P<name>[\w.-]+)(?P<extra>\[[\w,]+\])?>=(?P<version>[\w.]+)")


def run(layout: Layout, env: Mapping[str, str], python: str, *, whole: bool) -> int:
    """The exit status of the first suite that failed, or 0."""
    layout.prepare()
    Venv(layout, say).ensure()
    home = layout.home / "versions"
    private(home)
    wheel = _wheel(layout, home)
    with tests.infrastructure(layout, env) as urls:
        for name, pins in (("lowest", list(_lowest(layout))), ("newest", list[str]())):
            venv = _install(layout, home / name, python, wheel, pins, whole=whole)
            say(f"the library's suite on the {name} versions")
            if status := _suite(layout, venv, {**env, **urls}, whole=whole):
                return status
    return 0


def _wheel(layout: Layout, home: Path) -> Path:
    folder, leftover = home / "wheel", layout.checkout / LIBRARY / "build"
    for old in (folder, leftover):  # setuptools packs what an earlier build has left
        shutil.rmtree(old, ignore_errors=True)
    library = str(layout.checkout / LIBRARY)
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    _call([str(layout.python), "-m", "pip", "wheel", "--quiet", *options, library])
    [wheel] = folder.glob("*.whl")
    return wheel


def _lowest(layout: Layout) -> Iterator[str]:
    """The lower bounds that the library declares, as pip's constraints."""
    project = tomllib.loads((layout.checkout / LIBRARY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    needed = [*project["dependencies"], *(one for extra in extras for one in extra)]
    for requirement in dict.fromkeys(needed):
        bound = _BOUND.fullmatch(requirement)
        if bound is None:
            raise Trouble(f"{LIBRARY}/pyproject.toml: {requirement} has no lower bound")
        yield f"{bound['name']}=={bound['version']}"


def _install(
    layout: Layout, venv: Path, python: str, wheel: Path, pins: list[str], *, whole: bool
) -> Path:
    """A new venv with the wheel. In an old one, pip would keep versions that still satisfy."""
    _call([python or str(layout.python), "-m", "venv", "--clear", str(venv)])
    constraints = venv / "constraints.txt"
    constraints.write_text("\n".join(pins))
    pip = [str(venv / "bin/python"), "-m", "pip", "install", "--quiet"]
    more = [*SUITE, *WHOLE] if whole else SUITE
    extras = "cli,console,http" if whole else "cli"
    _call([*pip, "--constraint", str(constraints), f"{wheel}[{extras}]", *more])
    if whole:
        _call([*pip, "--no-deps", *(str(layout.checkout / path) for path in LOCAL)])
    return venv


def _suite(layout: Layout, venv: Path, env: Mapping[str, str], *, whole: bool) -> int:
    """Run a copy of the stranger's suite, so that nothing of this checkout lies beside it."""
    folder, tests = layout.checkout, str(LIBRARY / "tests")
    if not whole:
        folder, tests = venv / "suite", "."
        folder.mkdir()
        shutil.copy(layout.checkout / STRANGER, folder)
        (folder / "pytest.ini").write_text(SETTINGS)
    command = [str(venv / "bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", tests]
    if whole:  # old versions of one package warn about new ones of another
        command += ["-W", "ignore::DeprecationWarning"]
    return subprocess.run(command, cwd=folder, env=dict(env), check=False).returncode


def _call(command: list[str]) -> None:
    if subprocess.run(command, check=False).returncode:
        raise Trouble(f"this failed: {' '.join(command)}")
