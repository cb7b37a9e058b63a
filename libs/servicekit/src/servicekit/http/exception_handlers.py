"""Which exception becomes which problem: the framework's, the database's, the service's table."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import psycopg
import sqlalchemy.exc
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from servicekit.database import errors
from servicekit.http import problems
from servicekit.http.problems import Problem, ProblemSpec

__all__ = ["Handler", "field_of", "install_problem_handlers", "validation_failed"]

MAX_FIELD_ERRORS = 50
MAX_FIELD = 200

Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]

logger = structlog.get_logger(__name__)


def install_problem_handlers(app: FastAPI, table: Mapping[type[Exception], ProblemSpec]) -> None:
    """Answer the errors of `table`, of the framework and of the database as problems."""
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(RequestValidationError, _validation_failed)
    for away in (
        psycopg.OperationalError,
        psycopg.errors.ReadOnlySqlTransaction,
        sqlalchemy.exc.OperationalError,
        sqlalchemy.exc.TimeoutError,
    ):
        app.add_exception_handler(away, _database_unavailable)
    app.add_exception_handler(sqlalchemy.exc.DBAPIError, _database_error)
    for error, spec in table.items():
        app.add_exception_handler(error, _by_table(spec))


def _by_table(spec: ProblemSpec) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        return problems.response(spec.problem(error), request.scope)

    return handle


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and not isinstance(error, Problem):
        error.headers = {"Allow": ", ".join(sorted(_allowed_methods(request)))}
    return problems.response(problems.of_http_exception(error, request), request.scope)


def _allowed_methods(request: Request) -> set[str]:
    # The framework names only the first route of the path; RFC 9110, 15.5.6 wants them all.
    allowed: set[str] = set()
    for route in iter_route_contexts(request.app.routes):
        if route.methods and route.path_regex.match(request.scope["path"]):
            allowed |= route.methods
    return allowed | {"HEAD"} if "GET" in allowed else allowed


async def _validation_failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    fields = [
        {"field": field_of(one["loc"]), "message": one["msg"].removeprefix("Value error, ")}
        for one in found[:MAX_FIELD_ERRORS]
    ]
    return problems.response(validation_failed(fields, len(found)), request.scope)


def validation_failed(fields: list[dict[str, str]], found: int | None = None) -> Problem:
    count = len(fields) if found is None else found
    detail = f"{count} {'value is' if count == 1 else 'values are'} not acceptable; see errors."
    return Problem(422, "validation_failed", detail, errors=fields)


def field_of(location: tuple[int | str, ...]) -> str:
    """`products.0.quantity` for ("body", "products", 0, "quantity"); `body` for the whole body."""
    field = ".".join(str(part) for part in (location[1:] or location))
    # The name of an unknown member comes from the caller, at any length.
    return field if len(field) <= MAX_FIELD else field[: MAX_FIELD - 1] + "…"


async def _database_unavailable(request: Request, error: Exception) -> Response:
    logger.warning(
        "database_unavailable", reason=" ".join(str(error).split("\n[SQL", 1)[0].split())
    )
    problem = errors.database_unavailable(error, request.method)
    return problems.response(problem, request.scope)


async def _database_error(request: Request, error: Exception) -> Response:
    if isinstance(error, sqlalchemy.exc.DBAPIError) and errors.is_unavailable(error):
        return await _database_unavailable(request, error)
    raise error
