"""Logs: one JSON object a line on stdout, structlog and the standard library alike.

Every line has time, level, service, event, and the trace it belongs to. A request gets its line at
DEBUG (see `observe.requests`), because a line at INFO costs several percent of a request.
"""

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TextIO

import pydantic_core
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from servicekit.observe import trace
from servicekit.process.settings import LogFormat, LogLevel

__all__ = ["configure", "to_json", "write_all"]

QUIET_LIBRARIES = ("alembic", "asyncio", "httpx", "sqlalchemy", "psycopg", "uvicorn")
SILENT_LIBRARIES = ("aio_pika", "aiormq")


def configure(service: str, level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Send every log line of the process to stdout in one form; call once, before anything logs."""
    stream = stream or sys.stdout
    structlog.configure(
        processors=[*_processors(service), _renderer(form)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_processors(service),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(form),
            ],
        )
    )
    logging.root.handlers = [handler]
    logging.root.setLevel(level)
    # Libraries log every attempt to connect; this process logs a lost connection once.
    for names, quiet in ((QUIET_LIBRARIES, logging.WARNING), (SILENT_LIBRARIES, logging.CRITICAL)):
        for name in names:
            logging.getLogger(name).setLevel(logging.DEBUG if level is LogLevel.DEBUG else quiet)


def write_all(event: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write a line at INFO for each of these, whatever the level is, in one write.

    What lines have in common, such as the time, is made once.
    """
    config = structlog.get_config()
    *processors, render = config["processors"]
    common: EventDict = {"event": event}
    for processor in processors:
        common = processor(None, "info", common)  # none of them renders
    rendered = []
    for line in lines:
        with suppress(structlog.DropEvent):
            rendered.append(render(None, "info", {**line, **common}))
    if rendered:
        config["logger_factory"]().msg("\n".join(rendered))


def _processors(service: str) -> Sequence[Processor]:
    def stamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        current = trace.current()
        if current is not None:
            event.setdefault("trace_id", current.trace_id)
        return event

    return (
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        stamp,
        structlog.processors.StackInfoRenderer(),
    )


MAX_LINE, MAX_VALUE = 32_768, 4_096
"""Characters. A longer line has its longer values cut, so that no event fills the log alone."""


def _renderer(form: LogFormat) -> Processor:
    return _Console() if form is LogFormat.CONSOLE else _Json()


class _Json:
    """One line of JSON; an exception becomes the string member `exception`."""

    def __init__(self) -> None:
        self._render = structlog.processors.JSONRenderer(to_json)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str | bytes:
        event = structlog.processors.format_exc_info(logger, method, event)
        line = self._render(logger, method, dict(event))
        if len(line) <= MAX_LINE:
            return line
        return self._render(logger, method, {name: _cut(value) for name, value in event.items()})


def to_json(line: Mapping[str, Any], **_: object) -> str:
    """A line of JSON; of a value that JSON does not have, the text."""
    try:
        return pydantic_core.to_json(line, fallback=str, inf_nan_mode="strings").decode()
    except ValueError:  # such as half a surrogate pair
        return json.dumps(line, ensure_ascii=True, default=str)


class _Console:
    """Lines for people, no longer than those in JSON."""

    def __init__(self) -> None:
        # The default traceback shows local variables, which may hold secrets.
        self._render = structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        )

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        return _middle_left_out(self._render(logger, method, event), MAX_LINE)


def _cut(value: object) -> object:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return value if len(text) <= MAX_VALUE else _middle_left_out(text, MAX_VALUE)


def _middle_left_out(text: str, most: int) -> str:
    """Cut the middle out: the ends of a text tell more, such as a traceback's last line."""
    if len(text) <= most:
        return text
    half = most // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"
