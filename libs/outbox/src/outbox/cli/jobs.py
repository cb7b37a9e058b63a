"""`outbox jobs`: calls to other systems that wait or failed, and what to do about them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from outbox import jobs
from outbox.cli.options import DatabaseUrl, Json, Yes
from outbox.cli.output import clean, emit, say, table
from outbox.cli.running import FOUND, confirm, fail, run
from outbox.jobs import Job
from outbox.jobs.job import STATES
from outbox.operations.database import open_database
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
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 100,
    offset: Annotated[int, typer.Option(min=0)] = 0,
    as_json: Json = False,
) -> None:
    """List jobs, the oldest first."""
    if state not in (None, *STATES):
        fail(f"{state!r}: a job is {', '.join(STATES)}")

    async def ask() -> list[Job]:
        async with open_database(database_url) as connection:
            return await jobs.list_jobs(
                connection, kind=kind, state=state, key=key, limit=limit, offset=offset
            )

    _print(run(ask()), as_json)


@app.command()
def show(*, kind: OneKind, key: OneKey, database_url: DatabaseUrl, as_json: Json = False) -> None:
    """Show one job, with its payload and whole error."""
    found = run(_one(database_url, kind, key))
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

    async def do() -> int:
        async with open_database(database_url) as connection:
            return await jobs.redrive(connection, kind=kind, key=key)

    count = run(do())
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
    found = run(_one(database_url, kind, key))
    if not found:
        fail(f"there is no job {kind} {key}")
    if not as_json:
        _print(found, as_json)
    confirm(f"Never make the call {kind} {key} again?", yes=yes)

    async def do() -> bool:
        async with open_database(database_url) as connection:
            return await jobs.discard(connection, kind, key)

    if not run(do()):
        fail(f"{kind} {key} is done, was discarded before, or is being called now")
    if as_json:
        emit({"discarded": found[0]})
    else:
        say(f"{kind} {key} is discarded; its row is kept in outbox_jobs")


async def _one(url: str, kind: str, key: str) -> list[Job]:
    async with open_database(url) as connection:
        return await jobs.list_jobs(connection, kind=kind, key=key)


def _print(found: list[Job], as_json: bool) -> None:
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
