"""`outbox jobs`: calls to other systems that wait or failed, and what to do about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer

from outbox.cli.options import After, DatabaseUrl, Json, Limit, Yes
from outbox.cli.output import clean, emit, say, table, warn_of_more
from outbox.cli.running import FOUND, confirm, fail, operate
from outbox.jobs import Job
from outbox.jobs.job import STATES
from outbox.plural import counted

app = typer.Typer(no_args_is_help=True, help="Calls to other systems.")

Kind = Annotated[str | None, typer.Option(help="Only jobs of this kind.")]
Key = Annotated[str | None, typer.Option(help="Only jobs with this key.")]
OneKind = Annotated[str, typer.Argument(metavar="KIND")]
OneKey = Annotated[str, typer.Argument(metavar="KEY")]


@app.command("list")
def list_(
    *,
    database_url: DatabaseUrl,
    kind: Kind = None,
    state: Annotated[str | None, typer.Option(help="waiting, failed, discarded or done.")] = None,
    key: Key = None,
    limit: Limit = 100,
    after: After = None,
    as_json: Json = False,
) -> None:
    """List jobs, the oldest first."""
    if state not in (None, *STATES):
        fail(f"{state!r}: a job is {', '.join(STATES)}")
    page = operate(
        database_url,
        lambda operator: operator.jobs.list(
            kind=kind, state=state, key=key, limit=limit, after=after
        ),
    )
    _print(page.items, as_json)
    warn_of_more(page.next)


@app.command()
def show(*, kind: OneKind, key: OneKey, database_url: DatabaseUrl, as_json: Json = False) -> None:
    """Show one job, with its payload and whole error."""
    found = _one(database_url, kind, key)
    _print(found, as_json)
    for job in found if not as_json else ():
        say(f"  error: {job.last_error or 'none'}")
        for line in (job.last_traceback or "").splitlines():
            say(f"    {clean(line)}")
        say(f"  payload: {clean(json.dumps(job.payload, ensure_ascii=False))}")
        say(f"  idempotency key: {job.kind}:{job.key}")
    if not found:
        raise typer.Exit(FOUND)


@app.command()
def redrive(
    *, database_url: DatabaseUrl, kind: Kind = None, key: Key = None, as_json: Json = False
) -> None:
    """Try failed jobs, and those between two attempts, now. Each keeps its idempotency key."""
    count = operate(database_url, lambda operator: operator.jobs.redrive(kind=kind, key=key))
    if as_json:
        emit({"jobs": count})
    else:
        say(counted(count, "job is tried now", "jobs are tried now"))


@app.command()
def discard(
    *,
    kind: OneKind,
    key: OneKey,
    database_url: DatabaseUrl,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Discard a job that failed or waits. Its call is never made again; its row is kept."""
    found = _one(database_url, kind, key)
    if not found:
        fail(f"there is no job {kind} {key}")
    if not as_json:
        _print(found, as_json)
    confirm(f"Never make the call {kind} {key} again?", yes=yes)
    operate(database_url, lambda operator: operator.jobs.discard(kind, key))
    if as_json:
        emit({"discarded": found[0]})
    else:
        say(f"{kind} {key} is discarded; its row is kept in outbox_jobs")


def _one(url: str, kind: str, key: str) -> Sequence[Job]:
    return operate(url, lambda operator: operator.jobs.list(kind=kind, key=key)).items


def _print(found: Sequence[Job], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    columns = ("kind", "key", "state", "attempts", "next attempt", "created", "last error")
    rows = (
        (
            job.kind,
            job.key,
            job.state,
            job.attempts,
            job.next_attempt_at if job.state == "waiting" else None,
            job.created_at,
            (job.last_error or "").partition("\n")[0],
        )
        for job in found
    )
    table("jobs", columns, rows)
    say(counted(len(found), "job"))
