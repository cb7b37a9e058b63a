"""`outbox schema`: the versions of the tables, and the statements that are missing."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import dialect

from outbox import __version__
from outbox.cli.options import DatabaseUrl, Json
from outbox.cli.output import emit, say, table
from outbox.cli.running import FOUND, fail, run
from outbox.operations.database import open_database
from outbox.postgres.table_groups import FoundTables
from outbox.schema import GROUPS

Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="GROUP",
        help="outbox, inbox or jobs; repeatable. Without it those in the database, or else all.",
        show_default=False,
    ),
]
Check = Annotated[bool, typer.Option("--check", help="Exit with status 1 if something is missing.")]


def schema(
    *, database_url: DatabaseUrl, group: Groups = None, check: Check = False, as_json: Json = False
) -> None:
    """Print the versions of the tables, found and wanted, and the SQL that is missing."""
    if unknown := set(group or ()) - set(GROUPS):
        fail(f"there is no group {', '.join(unknown)}: {', '.join(GROUPS)}")

    async def ask() -> list[FoundTables]:
        async with open_database(database_url) as connection:
            return [await GROUPS[name].find(connection) for name in group or GROUPS]

    found = run(ask())
    if not group and not all(one.absent for one in found):
        found = [one for one in found if not one.absent]
    missing = [_sql(statement) for one in found if one.problem for statement in one.statements()]
    if as_json:
        emit({"groups": [_plain(one) for one in found], "statements": missing})
    else:
        rows = (
            (one.group.name, one.version, one.group.version, one.problem or "as declared")
            for one in found
        )
        table("schema", ("group", "found", "wanted", "says"), rows)
        say(*(f"{statement};\n" for statement in missing))
    if check and missing:
        raise typer.Exit(FOUND)


def print_version(wanted: bool) -> None:
    """Print the version for `outbox --version`."""
    if wanted:
        say(f"outbox-rabbitmq {__version__}")
        raise typer.Exit


def _plain(found: FoundTables) -> dict[str, Any]:
    return {
        "group": found.group.name,
        "found": found.version,
        "wanted": found.group.version,
        "problem": found.problem,
    }


def _sql(statement: Executable) -> str:
    named = dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=named)).strip()  # type: ignore[attr-defined]
