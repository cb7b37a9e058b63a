"""A Redis of a test's own: it can be frozen, killed, started again and filled with garbage."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from servicekit.process.urls import RedisUrl

PASSWORD = "for-tests"


@dataclass
class RedisServer:
    """`redis-server` on a port of its own, which stays the same when it is started again."""

    folder: Path
    port: int = 0
    users: str = f"requirepass {PASSWORD}"
    """The lines of its configuration that say who may do what."""
    process: subprocess.Popen[bytes] | None = field(default=None)

    def __post_init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> RedisUrl:
        return RedisUrl(f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0")

    def start(self) -> None:
        config = self.folder / f"redis-{self.port}.conf"
        config.write_text(f'bind 127.0.0.1\nport {self.port}\nsave ""\n{self.users}\n')
        command = ["redis-server", str(config)]
        self.process = subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.02)
        raise TimeoutError("redis-server does not listen")

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def freeze(self) -> None:
        self.send(signal.SIGSTOP)

    def thaw(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def redis_server(folder: Path, users: str = RedisServer.users) -> Iterator[RedisServer]:
    """Skips the test where the machine has none: the system does without it, too."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine")
    server = RedisServer(folder, users=users)
    server.start()
    try:
        yield server
    finally:
        server.kill()
