"""Redis, a cache without persistence. The system also runs without it."""

import hashlib
import shutil
import subprocess
from collections.abc import Mapping

from devstack.host.layout import Layout, put_private
from devstack.host.ports import answers
from devstack.native.services import ORDERS
from devstack.native.supervisor_config import Program

NAME = "redis"
# The commands that the cache sends and that its scripts call (servicekit, redis_store.py).
_COMMANDS = "+ping +evalsha +script|load +time +hmget +hset +pexpire +type +del +unlink"


def find_server() -> str | None:
    return shutil.which("redis-server")


def version() -> str:
    text = subprocess.run(
        ["redis-server", "--version"], capture_output=True, text=True, check=False
    ).stdout
    return next((word[2:] for word in text.split() if word.startswith("v=")), "?")


def users(name: str, password: str) -> str:
    """No default user; one user with the commands and the keys of the cache (ACL SETUSER)."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (
        "user default off\n"
        f"user {name} on #{digest} resetkeys ~ticket-* resetchannels -@all {_COMMANDS}\n"
    )


class Redis:
    def __init__(self, layout: Layout, server: str, port: int) -> None:
        self._layout = layout
        self._server = server
        self._port = port

    def prepare(self) -> None:
        put_private(self._layout.home / "redis.conf", self.settings())

    def settings(self) -> str:
        """Redis writes no file, so it needs no folder."""
        return (
            f"bind 127.0.0.1\nport {self._port}\n{users(ORDERS.name, ORDERS.password)}"
            'save ""\nappendonly no\ndaemonize no\nmaxmemory 128mb\n'
            "maxmemory-policy allkeys-lru\n"
        )

    def program(self, env: Mapping[str, str]) -> Program:
        return Program(NAME, [self._server, "redis.conf"], env, self._layout.home)

    def url(self, user: str, password: str) -> str:
        return f"redis://{user}:{password}@127.0.0.1:{self._port}/0"

    def is_ready(self) -> bool:
        return answers(self._port)
