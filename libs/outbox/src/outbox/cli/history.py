"""`outbox history`: who changed what, when, and how it ended."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.cli.options import After, DatabaseUrl, Json, Limit
from outbox.cli.output import emit, say, table, warn_of_more
from outbox.cli.running import operate
from outbox.plural import counted

Who = Annotated[str | None, typer.Option("--actor", help="Only what this user did.")]
What = Annotated[str | None, typer.Option("--what", help="Only changes of this kind.")]


def history(
    *,
    database_url: DatabaseUrl,
    actor: Who = None,
    what: What = None,
    limit: Limit = 100,
    after: After = None,
    as_json: Json = False,
) -> None:
    """List what operators have changed, by command, console or HTTP, the newest first."""
    page = operate(
        database_url,
        lambda operator: operator.history(limit=limit, after=after, actor=actor, what=what),
    )
    if as_json:
        emit(page.items)
    else:
        columns = ("began", "who", "from", "what", "of", "how many", "ended", "detail", "note")
        rows = (
            (
                one.began_at,
                one.actor,
                f"{one.via} {one.address or ''}".strip(),
                one.what,
                one.target,
                one.events,
                one.outcome or "running, or died",
                one.detail,
                one.note,
            )
            for one in page.items
        )
        table("history", columns, rows)
        say(counted(len(page.items), "change"))
    warn_of_more(page.next)
