"""One command at a time changes what runs in this checkout: a lock on `.local/lock`."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from devstack.console import say
from devstack.layout import Layout


@contextmanager
def exclusive(layout: Layout) -> Iterator[None]:
    """The kernel drops the lock with the process, so a killed command leaves none behind."""
    layout.prepare()
    with (layout.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is at work in this checkout: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
