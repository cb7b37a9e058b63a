"""What every command shares: exit statuses, the question before a change, the application.

Exit status 0: all is well. 1: something needs a person. 2: wrong usage, or a database or broker
that cannot be used. 3: the question was answered with no.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import psycopg
import typer
from sqlalchemy.exc import DBAPIError

from outbox.cli.output import warn
from outbox.errors import ChangedSince, OperationInProgress, OutboxError
from outbox.losses import broker_lost, one_line, refusal
from outbox.operations import Actor, Operator, open_operator
from outbox.rabbitmq.management_api import ManagementFailed
from outbox.rabbitmq.topology import Topology
from outbox.worker import Application

FOUND, UNUSABLE, REFUSED = 1, 2, 3
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's work. A server that fails it is one line and exit status 2."""
    try:
        return asyncio.run(work)
    except (ChangedSince, OperationInProgress) as problem:
        warn(f"outbox: {problem}; nothing was changed")
        raise typer.Exit(FOUND) from None
    except Exception as problem:
        sentence = _sentence(problem)
        if sentence is None:
            raise
        fail(sentence)


def operate(
    database_url: str,
    do: Callable[[Operator], Awaitable[Result]],
    *,
    broker_url: str | None = None,
    management_url: str | None = None,
    app: str | None = None,
    by: str | None = None,
) -> Result:
    """Run an operator's work on a database, as the user at this machine or `by` somebody else."""
    application = application_of(app) if app else None

    async def connected() -> Result:
        async with open_operator(
            database_url,
            by=Actor(by or user(), via="cli"),
            broker_url=broker_url,
            management_url=management_url,
            application=application,
        ) as operator:
            return await do(operator)

    return run(connected())


def user() -> str:
    """The user at this machine; a number where it has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _sentence(problem: Exception) -> str | None:
    """What is wrong, in one line; None for a bug, which keeps its traceback."""
    known = isinstance(problem, OutboxError | ManagementFailed)
    found = problem if known else refusal(problem, first=True)
    if found is not None:
        return str(found)
    if isinstance(problem, psycopg.Error):
        return f"the database: {one_line(problem)}"
    if isinstance(problem, DBAPIError):
        return f"the database: {one_line(problem.orig or problem)}"
    return f"the broker: {one_line(problem)}" if broker_lost(problem) else None


def fail(sentence: str) -> NoReturn:
    """Exit with status 2 after one line on stderr."""
    warn(f"outbox: {sentence}")
    raise typer.Exit(UNUSABLE)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is changed, unless `yes` is set; no answer means no."""
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        warn("nothing was changed")
        raise typer.Exit(REFUSED)


def topology_of(where: str) -> Topology:
    """The topology that `module:name` leads to."""
    return application_of(where).topology


def application_of(where: str) -> Application:
    """The application that `module:name` leads to; the working directory is searched too.

    A topology alone becomes an application without known handlers.
    """
    module, _, path = where.partition(":")
    if not path:
        fail(f"--app {where}: say in which variable or function of it: MODULE:NAME")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: object = import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
        if callable(found) and not isinstance(found, Application | Topology):
            found = found()
    except (Exception, SystemExit) as problem:
        fail(f"--app {where}: {type(problem).__name__}: {one_line(problem)}")
    if isinstance(found, Topology):
        return Application(found)
    if not isinstance(found, Application):
        kinds = "outbox.Application or outbox.Topology"
        fail(f"--app {where}: this is neither {kinds} nor a function that returns one")
    return found
