"""Errors as RFC 9457 problems: `application/problem+json`, without exception.

    Problem            an HTTP-level refusal that knows its own status
      BodyTooLarge     413
      Overloaded       503
    ProblemSpec        what one domain error becomes; the service's table maps error class -> spec

Domain errors take data and write their own sentence, which is the problem's `detail`. An unexpected
error is logged with its trace id and answered as a bare 500: no stack trace, no SQL and no driver
text leaves the service.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_jsonable_python
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from servicekit.observe import trace

__all__ = [
    "MEDIA_TYPE",
    "BodyTooLarge",
    "FieldError",
    "Overloaded",
    "Problem",
    "ProblemBody",
    "ProblemResponse",
    "ProblemSpec",
    "answer",
    "response",
]

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "/problems/"  # see decision 0011


class Problem(HTTPException):
    """A refusal that is answered as it is: status, code, title, detail, further members."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code
        self.title = title or title_of(code)
        self.members = members


class BodyTooLarge(Problem):
    """The request's body is longer than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, "body_too_large", f"A body may have at most {limit} bytes.")


class Overloaded(Problem):
    """Too many large bodies are being read already."""

    def __init__(self) -> None:
        detail = "Too many large bodies are being read; nothing was changed. Try again."
        super().__init__(503, "overloaded", detail, headers={"Retry-After": "1"})


@dataclass(frozen=True)
class ProblemSpec:
    """The problem that a domain error becomes. `members` names attributes of the error to show."""

    status: int
    code: str
    title: str = ""
    members: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def problem(self, error: Exception) -> Problem:
        return Problem(
            self.status,
            self.code,
            str(error),
            title=self.title or None,
            headers=dict(self.headers),
            **{name: getattr(error, name) for name in self.members},
        )


class FieldError(BaseModel):
    field: str
    message: str


class ProblemBody(BaseModel):
    """RFC 9457 problem details; `code` is stable, the sentences are for people."""

    model_config = ConfigDict(title="Problem", extra="allow")

    type: str = Field(examples=["/problems/not_found"])
    title: str = Field(examples=["Not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["There is nothing at this address."])
    instance: str = Field(examples=["/api/v1/things/1"])
    code: str = Field(examples=["not_found"])
    errors: list[FieldError] | None = Field(None, description="Only with 422: what is wrong where.")


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def title_of(code: str) -> str:
    return code.replace("_", " ").capitalize().replace("json", "JSON").replace("Uri", "URI")


def instance_of(scope: Scope) -> str:
    """Return the request's path as it was sent, percent-encoded: a URI reference."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("ascii", "backslashreplace")[:1000]


def response(problem: Problem, scope: Scope) -> ProblemResponse:
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + problem.code,
        "title": problem.title,
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": instance_of(scope),
        "code": problem.code,
        **to_jsonable_python(problem.members),
    }
    return ProblemResponse(body, problem.status_code, problem.headers)


async def answer(request: Request, refused: Exception) -> Response:
    """A Problem is answered as it is."""
    assert isinstance(refused, Problem)
    return response(refused, request.scope)


def internal_error() -> Problem:
    """The bare 500. Its trace id is what to search the logs for."""
    current = trace.current()
    detail = "Something went wrong on our side."
    if current is None:
        return Problem(500, "internal_error", detail)
    return Problem(500, "internal_error", detail, trace_id=current.trace_id)


def shutting_down() -> Problem:
    detail = "The service is shutting down before this was finished; check before you try again."
    return Problem(503, "shutting_down", detail, headers={"Retry-After": "1"})  # see decision 0012


def of_http_exception(error: HTTPException, request: Request) -> Problem:
    """Give the framework's own refusals a code and a sentence."""
    if isinstance(error, Problem):
        return error
    if error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase:
        return Problem(404, "not_found", "There is nothing at this address.")
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "")
        detail = f"{request.method} is not allowed here; allowed: {allow}."
        return Problem(405, "method_not_allowed", detail, headers=error.headers)
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(error.status_code, code, error.detail or phrase, headers=error.headers)
