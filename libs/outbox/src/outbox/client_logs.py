"""Client libraries do not log lost connections of this library, which logs each loss once.

Connections that an application opens itself are logged as before. With the logger `outbox` at DEBUG
nothing is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

_SILENCED: ContextVar[tuple[str, ...]] = ContextVar("outbox_quiet", default=())
_LOGGERS = {
    "aiormq": ("aiormq.connection", "aiormq.channel", "aio_pika"),
    "psycopg": ("psycopg",),
}
"""A filter works only on the logger that it is added to (logging, "Filter Objects")."""


@contextmanager
def quiet(library: str) -> Iterator[None]:
    """Within the block, and in tasks that begin in it, `library` logs nothing below CRITICAL."""
    _install(library)
    token = _SILENCED.set((*_SILENCED.get(), library))
    try:
        yield
    finally:
        _SILENCED.reset(token)


@cache
def _install(library: str) -> None:
    for name in _LOGGERS[library]:
        logging.getLogger(name).addFilter(_wanted)  # see decision 1113


def _wanted(record: logging.LogRecord) -> bool:
    silenced = any(record.name in _LOGGERS[library] for library in _SILENCED.get())
    critical = record.levelno >= logging.CRITICAL
    return not silenced or critical or logging.getLogger("outbox").isEnabledFor(logging.DEBUG)
