"""The OpenAPI document's errors: every operation names its problems, as problem+json.

    @router.get("/orders/{order_id}", responses=problem_responses(404))

The problems that any operation may answer (400, 413, 415 for bodies, 422 for input, 503, and those
of an `Idempotency-Key`) are added to each.
"""

from copy import deepcopy
from http import HTTPStatus
from typing import Any

from pydantic.json_schema import models_json_schema

from servicekit.http.problems import MEDIA_TYPE, ProblemBody, ProblemSpec, title_of

__all__ = ["COMMON_PROBLEMS", "problem_responses", "with_problems"]

COMMON_PROBLEMS: dict[str, tuple[int, str]] = {
    code: (status, title_of(code))
    for code, status in {
        "malformed_json": 400,
        "unexpected_body": 400,
        "cross_site_request": 403,
        "not_found": 404,
        "method_not_allowed": 405,
        "body_too_large": 413,
        "unsupported_media_type": 415,
        "validation_failed": 422,
        "unknown_parameter": 422,
        "misdirected_request": 421,
        "malformed_request": 400,
        "expectation_failed": 417,
        "request_timeout": 408,
        "uri_too_long": 414,
        "request_header_fields_too_large": 431,
        "internal_error": 500,
        "database_unavailable": 503,
        "shutting_down": 503,
        "overloaded": 503,
        "idempotency_key_reused": 422,
        "idempotency_key_in_flight": 409,
    }.items()
}
KEY_HEADER = "Idempotency-Key"
KEY_PROBLEMS = (
    ProblemSpec(409, "idempotency_key_in_flight"),
    ProblemSpec(422, "idempotency_key_reused"),
)
ERRORS = {
    "validation_failed": ("name", "Field required"),
    "idempotency_key_reused": (KEY_HEADER, "was used for another request"),
    "unknown_parameter": ("skip", "There is no such parameter; known here: cursor, limit."),
}
REPLAYED_HEADER = {
    "description": "`true` when this is the stored answer to the same key and request.",
    "schema": {"type": "string", "const": "true"},
}
FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")
REFERENCE = {"$ref": "#/components/schemas/Problem"}


def problem_responses(*problems: int | ProblemSpec) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: by status, or by spec so that the example shows the code."""
    responses: dict[int | str, dict[str, Any]] = {}
    for one in problems:
        spec = one if isinstance(one, ProblemSpec) else ProblemSpec(one, _common_code(one))
        examples = _examples(responses.setdefault(spec.status, _response(spec.status)))
        examples[spec.code] = {"value": _example(spec.status, spec.code, spec.title)}
    return responses


def _examples(response: dict[str, Any]) -> dict[str, Any]:
    examples: dict[str, Any] = response["content"][MEDIA_TYPE]["examples"]
    return examples


def _common_code(status: int) -> str:
    for code, (common, _) in COMMON_PROBLEMS.items():
        if common == status and not code.startswith("idempotency"):
            return code
    return HTTPStatus(status).phrase.lower().replace(" ", "_")


def _response(status: int) -> dict[str, Any]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {MEDIA_TYPE: {"schema": REFERENCE, "examples": {}}},
    }


def _example(status: int, code: str, title: str = "") -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": f"/problems/{code}",
        "title": title or title_of(code),
        "status": status,
        "detail": "A sentence about this very request.",
        "instance": "/api/v1/…",
        "code": code,
    }
    if status == 422:
        field, message = ERRORS.get(code, ("name", "A sentence about this field."))
        example["errors"] = [{"field": field, "message": message}]
    return example


def with_problems(document: dict[str, Any], *, base: str) -> dict[str, Any]:
    """Return the framework's document with the true error answers; the argument is not changed."""
    document = deepcopy(document)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    _, own = models_json_schema(
        [(ProblemBody, "serialization")], ref_template="#/components/schemas/{model}"
    )
    definitions = own["$defs"]
    schemas["Problem"] = definitions.pop("ProblemBody")
    schemas.update(definitions)
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            _add_common(operation, method, with_database=path.startswith(base))
    return document


def _add_replayed(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if status.startswith("2"):
            response.setdefault("headers", {})["Idempotency-Replayed"] = REPLAYED_HEADER


def _add_common(operation: dict[str, Any], method: str, *, with_database: bool) -> None:
    responses = operation["responses"]
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    statuses: list[int | ProblemSpec] = [421, ProblemSpec(422, "unknown_parameter")]
    if method != "get":
        statuses += [400, 403, 413, 415]
        if "requestBody" not in operation:
            statuses.append(ProblemSpec(400, "unexpected_body"))
    if "requestBody" in operation or "parameters" in operation:
        statuses.append(422)
    if with_database:
        statuses.append(503)
    if "requestBody" in operation:
        statuses.append(ProblemSpec(503, "overloaded"))
    if any(parameter["name"] == KEY_HEADER for parameter in operation.get("parameters", ())):
        statuses += KEY_PROBLEMS
        _add_replayed(responses)
    for status, response in problem_responses(*statuses).items():
        known = responses.setdefault(str(status), response)
        if known is not response and MEDIA_TYPE in known.get("content", {}):
            _examples(known).update(_examples(response))
    operation["responses"] = dict(sorted(responses.items()))
