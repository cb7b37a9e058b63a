"""Databases that tests have for themselves."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, date, datetime
from functools import cache
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg


@contextmanager
def fresh_database(admin: str, *, template: str = "template1") -> Iterator[str]:
    """The URL of a database beside the one that `admin` names, gone with the block.

    Empty, or a copy of another that nobody is connected to.
    """
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield urlunsplit(urlsplit(admin)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def filled_database(admin: str, fill: Callable[[str], None]) -> Iterator[str]:
    """The same with what `fill` puts in."""
    today = datetime.now(UTC).date()
    with fresh_database(admin, template=_template_of(admin, fill, today)) as url:
        yield url


@cache
def _template_of(admin: str, fill: Callable[[str], None], _today: date) -> str:
    """The name of a database that `fill` was given today: to copy it is quicker than to fill more.

    It goes with this process, unless its server went before.
    """
    stack = ExitStack()
    url = stack.enter_context(fresh_database(admin))

    def drop() -> None:
        with suppress(psycopg.OperationalError):
            stack.close()

    atexit.register(drop)
    fill(url)
    return urlsplit(url).path.removeprefix("/")
