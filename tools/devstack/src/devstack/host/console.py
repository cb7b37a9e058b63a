"""The output: plain lines with the seconds since the start of the command, no control codes."""

import sys
import time
from collections.abc import Callable

BEGAN = time.monotonic()

Say = Callable[[str], None]


def say(text: str) -> None:
    """Print a progress line."""
    print(f"[{time.monotonic() - BEGAN:5.1f}s] {text}", flush=True)


def plain(text: str = "") -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    """Print the one line that a failed command ends with."""
    print(f"devstack: {text}", file=sys.stderr, flush=True)


def silent(text: str) -> None:
    """Print nothing, for systems that tests start."""
    del text


def table(head: list[str], rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join(lines)
