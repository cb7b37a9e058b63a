"""The pages and the command `outbox` know the same commands, and no option that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import typer

from outbox.cli.commands import app

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("libs/*/*.md"),
    *ROOT.glob("examples/*/*.md"),
]
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)
GROUPS = ("parked", "jobs", "unpublished", "scheduled", "queues", "tripped")
CALL = re.compile(
    rf"(?:^|[`$] ?)outbox ((?:(?:{'|'.join(GROUPS)}) )?[a-z-]+)\b([^`\n#|]*)", re.MULTILINE
)
CONNECTIONS = {"relay", "cli"}
"""What the library calls its connections to RabbitMQ: `outbox relay`."""


def commands() -> dict[str, set[str]]:
    """By name, as `parked list`, the options of every command."""
    found = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for inner, one in getattr(command, "commands", {"": command}).items():
            options = {option for given in one.params for option in given.opts}
            found[f"{name} {inner}".strip()] = options | {"--help"}
    return found


def calls() -> Iterator[tuple[str, str, set[str]]]:
    """Page, command and options of each call that a page names."""
    for page in PAGES:
        for code in CODE.findall(page.read_text()):
            for command, rest in CALL.findall(code):
                if command not in CONNECTIONS:
                    yield page.name, command, set(re.findall(r"--[a-z-]+", rest))


def test_every_command_named_is_there_with_its_options() -> None:
    known = commands()
    named = list(calls())
    assert len(named) > 50
    assert [call for call in named if not call[2] <= known.get(call[1], {"none"})] == []
    assert [call for call in named if call[1] not in known] == []


def test_every_command_is_in_the_table_of_the_page() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    table = text.partition("| command | database | |")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    words = [re.findall(r"[a-z-]+", re.sub(r"--\S+|\[.*?\]", "", cell)) for cell in cells]
    listed = {
        f"{row[0]} {one}" if row[0] in GROUPS else one
        for row in words
        if row
        for one in (row[1:] if row[0] in GROUPS else row)
    }
    assert sorted(commands().keys() - listed) == []
