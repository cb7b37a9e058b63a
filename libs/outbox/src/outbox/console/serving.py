"""The console as a process of its own: its log, and the server."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI

GRACE = 5
"""Seconds that requests have to end once the process is asked to."""
REQUESTS_AT_ONCE = 200
"""Further ones are 503 at once."""
QUIET = ("asyncio", "uvicorn", "psycopg")


class JsonLines(logging.Formatter):
    """One JSON object a line, with the members that the services' logs have."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "service": "console",
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """A line for people, in which a logged text makes no second line."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        text = f"{time:%Y-%m-%d %H:%M:%SZ} {record.levelname.lower()} {record.getMessage()!s}"
        first = text.replace("\r", "\\r").replace("\n", "\\n")
        return f"{first}\n{self.formatException(record.exc_info)}" if record.exc_info else first


def log_to_stdout(*, as_json: bool) -> None:
    """Call once, before anything logs."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def serve(app: FastAPI, host: str, port: int) -> None:
    """Answer requests until a signal. Headers of a proxy are read by `access.proxy` alone."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        limit_concurrency=REQUESTS_AT_ONCE,
        timeout_graceful_shutdown=GRACE,
    )
