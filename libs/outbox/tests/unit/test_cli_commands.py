"""All commands: each explains itself and speaks JSON; what is printed is harmless."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from outbox.cli.commands import app
from outbox.cli.output import cell, clean
from outbox.operations.json_values import plain


def commands(
    command: object, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    nested = getattr(command, "commands", None)
    if nested is None:
        yield path, command
    for name, child in (nested or {}).items():
        yield from commands(child, (*path, name))


ALL = dict(commands(get_command(app)))


def test_all_commands_of_the_contract_are_there() -> None:
    assert {" ".join(path) for path in ALL} >= {
        "status", "lanes", "parked list", "parked show", "parked redrive", "parked discard",
        "replay", "reconcile", "journey", "partitions", "doctor", "unpublished discard", "baseline",
    }  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_speaks_json_and_explains_itself(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "--json" in shown.output


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_without_a_database_it_is_wrong_usage(path: tuple[str, ...]) -> None:
    asked = CliRunner().invoke(app, [*path], env={"DATABASE_URL": ""})
    assert asked.exit_code == 2


def test_what_a_body_holds_cannot_reach_the_terminal() -> None:
    assert clean("\x1b[31mred\x07\u202e") == "\\x1b[31mred\\x07\\u202e"
    assert cell(None) == "-"
    assert cell(datetime(2026, 11, 21, 6, tzinfo=UTC)) == "2026-11-21 06:00:00Z"


@dataclass
class _Inner:
    at: datetime
    body: bytes


def test_json_has_times_as_rfc_3339_and_bytes_as_text() -> None:
    found = plain({"id": UUID(int=1), "of": [_Inner(datetime(2026, 1, 2, tzinfo=UTC), b"\xffa")]})
    assert found == {
        "id": "00000000-0000-0000-0000-000000000001",
        "of": [{"at": "2026-01-02T00:00:00+00:00", "body": "\\xffa"}],
    }
