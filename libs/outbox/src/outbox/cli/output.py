"""The two forms of output: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich import box
from rich.console import Console
from rich.table import Table

from outbox.operations.json_values import plain

PIPE_WIDTH = 240
"""A pipe has room for whole ids; rich assumes 80 columns."""


def console(*, stderr: bool = False) -> Console:
    """Where to print. There is no markup: brackets in an error message are brackets."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPE_WIDTH
    return made


def say(*lines: str) -> None:
    """Print plain lines."""
    for line in lines:
        console().print(clean(line), soft_wrap=True)


def warn(line: str) -> None:
    """Print a line on stderr, beside the output."""
    console(stderr=True).print(clean(line), soft_wrap=True)


def warn_of_more(after: str | None) -> None:
    """Say on stderr how the next page is asked for, if there is one."""
    if after is not None:
        warn(f"there are more: --after {after}")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their headings; print nothing if there are none."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell(entry) for entry in row))
    if made.row_count:
        console().print(made)


def cell(entry: object) -> str:
    """The text of one cell, as a person reads it."""
    match entry:
        case None:
            return "-"
        case bool():
            return "yes" if entry else "no"
        case datetime():
            return f"{entry.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
        case float():
            return f"{entry:.1f}"
        case _:
            return clean(str(entry))


def clean(text: str) -> str:
    """The text with control characters escaped: a stored text must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def emit(value: object) -> None:
    """Print one JSON document."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=True))  # noqa: T201 it is the output
