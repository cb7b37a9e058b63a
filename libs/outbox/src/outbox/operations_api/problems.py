"""Errors as problems (RFC 9457): one table from the library's errors to statuses."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import psycopg
from aiormq.exceptions import AMQPError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pamqp.exceptions import PAMQPException
from starlette.exceptions import HTTPException

from outbox.errors import (
    ChangedSince,
    InvalidEvent,
    InvalidSetting,
    NothingMissing,
    NotParked,
    NotThere,
    OperationInProgress,
    OutboxError,
)
from outbox.losses import broker_lost, one_line
from outbox.operations.json_values import plain
from outbox.rabbitmq.management_api import ManagementFailed

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

_AWAY = "The database or the broker does not answer. Try again."

_KNOWN: Mapping[type[Exception], tuple[int, str]] = {
    NotThere: (404, "not_there"),
    NotParked: (404, "not_parked"),
    NothingMissing: (409, "nothing_missing"),
    ChangedSince: (409, "changed_since"),
    OperationInProgress: (409, "operation_in_progress"),
    InvalidSetting: (422, "validation_failed"),
    InvalidEvent: (422, "invalid_event"),
    OutboxError: (503, "not_possible_now"),
    psycopg.DataError: (422, "validation_failed"),
    psycopg.errors.UndefinedTable: (404, "not_there"),
    psycopg.errors.UndefinedColumn: (503, "not_possible_now"),
    psycopg.errors.UndefinedFunction: (503, "not_possible_now"),
    psycopg.errors.InsufficientPrivilege: (503, "not_possible_now"),
    psycopg.errors.QueryCanceled: (503, "took_too_long"),
    psycopg.OperationalError: (503, "database_unavailable"),
    psycopg.InterfaceError: (503, "database_unavailable"),
    ManagementFailed: (503, "broker_unavailable"),
    AMQPError: (503, "broker_unavailable"),
    PAMQPException: (503, "broker_unavailable"),
    OSError: (503, "broker_unavailable"),
    UnicodeEncodeError: (422, "validation_failed"),
}

_SENTENCES: Mapping[type[Exception], str] = {
    psycopg.DataError: "PostgreSQL cannot store one of these values.",
    UnicodeEncodeError: "A text of the request has characters that are no Unicode.",
    psycopg.errors.UndefinedTable: (
        "This database has no such tables: no outbox, no inbox or no jobs."
    ),
    psycopg.errors.InsufficientPrivilege: "The service's database user may not do this.",
    psycopg.errors.QueryCanceled: "The database needs too long for this. Ask for less.",
    psycopg.ProgrammingError: (
        "The tables are not those of this release: has the database been migrated?"
    ),
}


def problem(
    request: Request, status: int, code: str, detail: str, **members: object
) -> JSONResponse:
    """One problem; its code is stable, the sentence is for people."""
    body = {
        "type": f"/problems/{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "instance": quote(request.scope["path"])[:1000],
        "code": code,
        **plain(members),
    }
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    return _Problem(body, status, headers)


class _Problem(JSONResponse):
    """A problem in ASCII: what a request says may be no Unicode."""

    media_type = MEDIA_TYPE

    def render(self, content: object) -> bytes:
        return json.dumps(content).encode("ascii")


def install_problems(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        return _answer(request, error)

    for kind in (*_KNOWN, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, answer)

    async def crashed(request: Request, _: Exception) -> JSONResponse:
        detail = "Something went wrong on our side."
        return problem(request, 500, "internal_error", detail)

    async def perhaps_lost(request: Request, error: Exception) -> JSONResponse:
        """The broker's clients say so that a connection is closed; anything else is a bug."""
        if not broker_lost(error):
            raise error
        return problem(request, 503, "broker_unavailable", _AWAY)

    app.add_exception_handler(RuntimeError, perhaps_lost)
    app.add_exception_handler(Exception, crashed)


def _answer(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestValidationError):
        wrong = [
            {"field": ".".join(map(str, one["loc"])), "message": one["msg"]}
            for one in error.errors()
        ]
        detail = "The request is not as the OpenAPI document says."
        return problem(request, 422, "validation_failed", detail, errors=wrong)
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_")
        answered = problem(request, error.status_code, code, str(error.detail))
        answered.headers.update(error.headers or {})
        return answered
    kind = next(kind for kind in type(error).__mro__ if kind in _KNOWN)
    status, code = _KNOWN[kind]
    if status >= 500:
        logger.warning("%s %s: %s", request.method, request.url.path, one_line(error))
    return problem(request, status, code, _sentence(error), **_members(error))


def _sentence(error: Exception) -> str:
    """What went wrong; a server's own words stay in the log."""
    if isinstance(error, OutboxError | ManagementFailed):
        return str(error)
    return next((said for kind, said in _SENTENCES.items() if isinstance(error, kind)), _AWAY)


def _members(error: Exception) -> dict[str, Any]:
    if isinstance(error, ChangedSince):
        return {"before": error.seen, "now": error.now}
    if isinstance(error, OperationInProgress):
        return {"by": error.by, "since": error.since}
    return {}
