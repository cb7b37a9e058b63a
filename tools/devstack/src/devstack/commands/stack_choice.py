"""The stack, Docker or native: chosen once, kept in `.local/stack`, used by every command."""

from collections.abc import Mapping
from dataclasses import dataclass

from devstack.docker.stack import Docker
from devstack.host.errors import Trouble
from devstack.host.layout import Layout, put_private

NATIVE, DOCKER = "native", "docker"


@dataclass(frozen=True)
class Choice:
    stack: str
    why: str


def asked(env: Mapping[str, str]) -> str | None:
    """STACK, if set."""
    stack = env.get("STACK", "").strip()
    if stack not in ("", NATIVE, DOCKER):
        raise Trouble(f"STACK={stack} is neither native nor docker", status=2)
    return stack or None


def kept(layout: Layout) -> str | None:
    try:
        stack = (layout.home / "stack").read_text().strip()
    except OSError:
        return None
    return stack if stack in (NATIVE, DOCKER) else None


def keep(layout: Layout, stack: str) -> None:
    layout.prepare()
    put_private(layout.home / "stack", stack + "\n")


def forget(layout: Layout) -> None:
    (layout.home / "stack").unlink(missing_ok=True)


def for_start(layout: Layout, env: Mapping[str, str], docker: Docker) -> Choice:
    """STACK, else the one whose data this checkout already has, else Docker if it can be used."""
    if stack := asked(env):
        return Choice(stack, "STACK says so")
    if stack := kept(layout):
        return Choice(stack, "as last time")
    lack = docker.lack()
    return Choice(NATIVE, lack) if lack else Choice(DOCKER, "Docker answers and has the images")


def for_running(layout: Layout, env: Mapping[str, str]) -> str:
    """For stop, status, logs and migrate: STACK, else the stack that was started."""
    return asked(env) or kept(layout) or NATIVE
