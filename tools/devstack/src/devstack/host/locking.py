"""One command at a time changes what runs in this checkout: a lock on `.local/lock`."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from devstack.host.console import say
from devstack.host.layout import Layout


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """The kernel drops the lock with the process, so a killed command leaves no lock."""
    while True:
        layout.prepare()
        with (layout.home / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another command is running in this checkout: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_the_one(lock, layout):
                yield
                return


def _is_the_one(lock: IO[str], layout: Layout) -> bool:
    """Whether the locked file is still in place; a `make clean` meanwhile removes it."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (layout.home / "lock").stat())
    except FileNotFoundError:
        return False
