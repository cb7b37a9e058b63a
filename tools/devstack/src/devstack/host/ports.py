"""TCP ports: which are free, who holds the others, and which this checkout uses.

Ports are probed and claimed before anything listens on them. The claim is an abstract socket (on
systems without such, a locked file) that lives as long as this process, so two commands that start
at once never choose the same port.
"""

import contextlib
import errno
import fcntl
import json
import socket
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from devstack.host.errors import Trouble
from devstack.host.processes import PROC, command_of, pids

LOWEST, HIGHEST = 20000, 32000  # below what the kernel hands to outgoing connections
_LISTEN = "0A"
_NO_ADDRESS = errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    return _refusal(port, host) is None


def _refusal(port: int, host: str) -> OSError | None:
    """The kernel's answer to a listener on this port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as problem:
        return problem
    return None


@dataclass(frozen=True)
class Obstacle:
    """Why a port cannot be used, and what to do."""

    what: str
    fix: str


def obstacle(port: int, variable: str, host: str = "127.0.0.1") -> Obstacle | None:
    refusal = _refusal(port, host)
    if refusal is None:
        return None
    another = f"choose another port: {variable}={port + 100} make start"
    if refusal.errno == errno.EADDRINUSE:
        taken = f"port {port} ({variable}) is taken by {holder(port)}"
        return Obstacle(taken, f"end it, or {another}")
    if refusal.errno in _NO_ADDRESS or isinstance(refusal, socket.gaierror):
        what = f"HTTP_HOST={host} is no address of this machine ({refusal.strerror})"
        return Obstacle(what, "set it to 127.0.0.1, or to 0.0.0.0 for all")
    return Obstacle(f"port {port} ({variable}) cannot be had: {refusal.strerror}", another)


def answers(port: int, host: str = "127.0.0.1") -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _listening_inodes(port: int) -> set[str]:
    inodes: set[str] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in (PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _open_files(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield str(entry.readlink())


def holder(port: int) -> str:
    """Who listens on the port, as part of a sentence: `pid 12 (python3 -m http.server)`."""
    wanted = _listening_inodes(port)
    for pid in pids() if wanted else ():
        if any(name in wanted for name in _open_files(pid)):
            return f"pid {pid} ({command_of(pid)[:80] or 'unknown command'})"
    return "a process this user cannot see"


def candidates(folder: Path) -> Iterator[int]:
    """Every port of the range once. The first one derives from the path."""
    first = zlib.crc32(str(folder).encode()) % ((HIGHEST - LOWEST) // 12) * 12
    width = HIGHEST - LOWEST
    return (LOWEST + (first + step) % width for step in range(width))


def _claim_by_socket(port: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        claim.bind(f"\0devstack-port-{port}")
    except OSError:
        claim.close()
        return None
    return claim


def _claim_by_file(port: int) -> IO[str] | None:
    """The file stays and is empty; only the lock counts."""
    with contextlib.ExitStack() as stack:
        try:
            path = Path(tempfile.gettempdir(), f"devstack-port-{port}")
            claim = stack.enter_context(path.open("a"))
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None
        stack.pop_all()
    return claim


class Ports:
    """The ports of one system, kept in its folder so that the next start uses the same ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "ports.json"
        self._claims: list[socket.socket | IO[str]] = []
        self._taken: set[int] = set()
        self.chosen: dict[str, int] = self._read()

    def _read(self) -> dict[str, int]:
        try:
            kept = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return {}
        return {str(name): int(port) for name, port in kept.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the claims once the processes listen."""
        while self._claims:
            self._claims.pop().close()

    def _claim(self, port: int) -> bool:
        if port in self._taken or not is_free(port):
            return False
        claim = _claim_by_socket(port) if PROC.exists() else _claim_by_file(port)
        if claim is None:
            return False
        self._claims.append(claim)
        self._taken.add(port)
        return True

    def choose(self, preferred: Mapping[str, int | None]) -> dict[str, int]:
        """A free port for each name: the last, else the preferred, else one of the range."""
        for name, port in preferred.items():
            self.chosen[name] = self._first_free(self.chosen.get(name), port)
        self._file.write_text(json.dumps(self.chosen, indent=1))
        return {name: self.chosen[name] for name in preferred}

    def _first_free(self, *favourites: int | None) -> int:
        for port in favourites:
            if port is not None and self._claim(port):
                return port
        for port in candidates(self._folder):
            if self._claim(port):
                return port
        raise Trouble(f"no free port between {LOWEST} and {HIGHEST}: end what listens there")

    def insist(self, name: str, variable: str, port: int, host: str = "127.0.0.1") -> int:
        """This port, or Trouble that names the variable to change and the holder of the port."""
        if found := obstacle(port, variable, host):
            raise Trouble(f"{found.what}: {found.fix}")
        self._taken.add(port)
        self.chosen[name] = port
        return port
