"""Waiting for a condition with a deadline, and the parts of a command that run undisturbed."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def until(condition: Callable[[], bool], seconds: float, pause: float = 0.05) -> bool:
    """True as soon as the condition holds, False when the time is up."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore signals in the block, so a second Ctrl-C does not cut the clean-up short."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
