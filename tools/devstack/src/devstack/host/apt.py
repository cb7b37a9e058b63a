"""Debian packages, installed where that is allowed, without starting their services.

Debian's rabbitmq-server starts a broker on 5672 as soon as it is installed; a `policy-rc.d` that
answers 101 forbids it. It exists only during the call, and an earlier one is put back.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from devstack.host.console import Say
from devstack.host.errors import Trouble
from devstack.host.layout import Layout

POLICY = Path("/usr/sbin/policy-rc.d")
_FORBID = "#!/bin/sh\n# Written by devstack for one apt-get call.\nexit 101\n"
_NO_NETWORK = (
    "Temporary failure resolving",
    "Could not resolve",
    "Could not connect",
    "Network is unreachable",
    "Failed to fetch",
    "Unable to fetch",
)


def allowed() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def advice(*names: str) -> str:
    """What to type when this command may not install."""
    words = " ".join(names)
    if shutil.which("apt-get"):
        sudo = "" if os.geteuid() == 0 else "sudo "
        return f"{sudo}apt-get install --no-install-recommends {words}"
    return f"install {words} with this system's package tool"


@contextlib.contextmanager
def no_autostart(policy: Path = POLICY) -> Iterator[None]:
    """Packages installed inside the block start no service; one command at a time."""
    with _locked(policy.parent, fcntl.LOCK_EX):
        if policy.exists() and not _is_ours(policy) and not _aside(policy).exists():
            policy.rename(_aside(policy))
        policy.write_text(_FORBID)
        policy.chmod(0o755)
        try:
            yield
        finally:
            _restore(policy)


def lift_leftover(policy: Path = POLICY) -> None:
    """Undo what a killed run left, unless another run is under way."""
    with (
        contextlib.suppress(BlockingIOError),
        _locked(policy.parent, fcntl.LOCK_EX | fcntl.LOCK_NB),
    ):
        if policy.exists() and _is_ours(policy):
            _restore(policy)


@contextlib.contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Locks the folder itself: no file is left, and the lock holds for every checkout."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def _aside(policy: Path) -> Path:
    return policy.with_name(policy.name + ".before-devstack")


def _is_ours(policy: Path) -> bool:
    return policy.read_bytes() == _FORBID.encode()


def _restore(policy: Path) -> None:
    if _aside(policy).exists():
        _aside(policy).replace(policy)
    else:
        policy.unlink(missing_ok=True)


def _apt(log: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=60", *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n{done.stdout}\n")
    return done


def install(layout: Layout, names: list[str], say: Say) -> None:
    """Install from the package lists on the machine; when that fails, update the lists first."""
    log = layout.log_of("apt")
    say(f"installing {' '.join(names)} (apt-get)")
    with no_autostart():
        done = _apt(log, "install", "--no-install-recommends", *names)
        if done.returncode:
            update = _apt(log, "update")
            done = _apt(log, "install", "--no-install-recommends", *names)
            done.stdout = update.stdout + done.stdout
    if done.returncode:
        raise Trouble(_failure(done.stdout, names, log))


def lack_after_trying(layout: Layout, names: list[str], say: Say) -> str | None:
    """Install where that is allowed; what is lacking then, in words, or None."""
    if not allowed():
        return advice(*names)
    try:
        install(layout, names, say)
    except Trouble as problem:
        return str(problem)
    return None


def _failure(output: str, names: list[str], log: Path) -> str:
    what = f"cannot install {' '.join(names)}"
    if any(sign in output for sign in _NO_NETWORK):
        return f"{what}, no network: connect and run it again; see {log}"
    errors = [line for line in output.splitlines() if line.startswith("E:")]
    return f"{what}: {errors[-1] if errors else 'apt-get failed'}; see {log}"
