"""Calls an endpoint with its arguments, as the framework does, and renders its answer once.

The framework describes an endpoint and its dependencies (`Dependant`) and validates each value
(`ModelField`). It serves many kinds of endpoints, and reads the description for every request. Here
it is read once, and only for the usual kind: coroutines, one JSON body, single values in path,
query and headers. Answers and errors are the framework's own; a test compares them. Endpoints of
another kind are left to the framework. See decision 1713.
"""

from inspect import iscoroutinefunction
from typing import Any

from fastapi._compat import ModelField, Undefined, field_annotation_is_sequence
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import (
    _get_param_aliases,
    _get_param_model,
    _validate_value_with_model_field,
    get_typed_return_annotation,
)
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.params import Form, Param
from fastapi.routing import RouteContext
from starlette.responses import Response

from servicekit.http.routing import JsonRequest, JsonRoute

__all__ = ["DirectCall", "Unusual"]

# What the framework lets a function ask for, and no endpoint here does.
_OTHERS = (
    *("cookie_params", "websocket_param_name", "http_connection_param_name"),
    *("response_param_name", "background_tasks_param_name", "security_scopes_param_name"),
    *("own_oauth_scopes", "concurrency"),
)
_FILTERS = tuple(
    f"response_model_{name}"
    for name in ("include", "exclude", "exclude_unset", "exclude_defaults", "exclude_none")
)


class Unusual(Exception):
    """The framework has to call this endpoint."""


class DirectCall:
    """One endpoint on one path. Raises `Unusual`."""

    def __init__(self, context: RouteContext) -> None:
        if not isinstance(context.original_route, JsonRoute) or context._embed_body_fields:
            raise Unusual
        assert context.endpoint is not None
        self.route, self.endpoint = context.original_route, context.endpoint
        self._rules = self.route.strict_input(
            context.dependant, has_body=context.body_field is not None
        )
        self._arguments = _Arguments(context.dependant)
        self._rendering = _Rendering(context)

    async def answer(self, request: JsonRequest) -> Response:
        """Raises what the endpoint raises, Problem and the framework's errors of validation."""
        await self._rules.check(request)
        errors: list[Any] = []
        values = await self._arguments.of(request, errors, {})
        if errors:
            raise RequestValidationError(errors, body=request.parsed)
        answer = await self._arguments.call(**values)
        return answer if isinstance(answer, Response) else self._rendering.of(answer)


class _Arguments:
    """The arguments of an endpoint or of a function that it depends on."""

    def __init__(self, dependant: Dependant, *, is_endpoint: bool = True) -> None:
        bodies = len(dependant.body_params)
        unusual = bodies > is_endpoint or not dependant.use_cache
        if unusual or any(getattr(dependant, name) for name in _OTHERS):
            raise Unusual
        if not iscoroutinefunction(dependant.call):
            raise Unusual  # the framework runs it in a thread
        self.call, self._name = dependant.call, dependant.name
        self._needed = [_Arguments(one, is_endpoint=False) for one in dependant.dependencies]
        self._path = [_Value(field) for field in dependant.path_params]
        self._query = [_Value(field) for field in dependant.query_params]
        self._headers = [_Value(field) for field in dependant.header_params]
        self._body = _Value(dependant.body_params[0]) if bodies else None
        self._request_name = dependant.request_param_name

    async def of(
        self, request: JsonRequest, errors: list[Any], called: dict[Any, Any]
    ) -> dict[str, Any]:
        """`called` has the results of the functions that were called for this request."""
        values: dict[str, Any] = {}
        for one in self._needed:
            if one.call not in called:
                wrong: list[Any] = []
                arguments = await one.of(request, wrong, called)
                if wrong:
                    errors += wrong
                    continue
                called[one.call] = await one.call(**arguments)
            if one._name is not None:
                values[one._name] = called[one.call]
        for value in self._path:
            value.read(request.path_params.get(value.alias), values, errors)
        for value in self._query:
            given = request.query_params if request.scope["query_string"] else {}
            value.read(given.get(value.alias), values, errors)
        for value in self._headers:
            value.read(request.headers.get(value.alias), values, errors)
        if self._body is not None:
            self._body.read_body(request, values, errors)
        if self._request_name:
            values[self._request_name] = request
        return values


class _Value:
    """One value: of the path, of the query, of a header, or the whole body."""

    def __init__(self, field: ModelField) -> None:
        self.alias, self._field, self._info = field.alias, field, field.field_info
        self._location: tuple[str, ...] = ("body",)
        if isinstance(self._info, Param):
            aliases = _get_param_aliases(field)
            is_list = field_annotation_is_sequence(self._info.annotation)
            if is_list or len(aliases) > 1 or _get_param_model(field) is not None:
                raise Unusual
            self.alias = aliases[0][1]
            self._location = (self._info.in_.value, self.alias)
        elif isinstance(self._info, Form):
            raise Unusual
        default = Undefined if self._info.is_required() else field.default
        # Any other default is copied for each request, by the framework.
        kept = isinstance(default, str | int | float | None) and not self._info.validate_default
        self._default = default if kept else Undefined

    def read(self, given: Any, values: dict[str, Any], errors: list[Any]) -> None:
        """Add the value to `values`, or what is wrong with it to `errors`."""
        if given is None:
            if self._default is not Undefined:
                values[self._field.name] = self._default
                return
            given = Undefined
        self._validate(given, values, errors)

    def read_body(self, request: JsonRequest, values: dict[str, Any], errors: list[Any]) -> None:
        self._validate(request.parsed if request.is_parsed else Undefined, values, errors)

    def _validate(self, given: Any, values: dict[str, Any], errors: list[Any]) -> None:
        value, wrong = _validate_value_with_model_field(
            field=self._field, value=given, values=values, loc=self._location
        )
        if wrong:
            errors += wrong
        else:
            values[self._field.name] = value


class _Rendering:
    """How what an endpoint returns becomes JSON, if it is no Response yet."""

    def __init__(self, context: RouteContext) -> None:
        usual = isinstance(context.response_class, DefaultPlaceholder)
        if not usual or any(getattr(context, name) for name in _FILTERS):
            raise Unusual
        if context.is_sse_stream or context.is_json_stream or not context.response_model_by_alias:
            raise Unusual
        self._field: ModelField | None = context.response_field
        self._status: int = context.status_code or 200
        self._is_empty = self._status == 204
        if self._field is None and not (self._is_empty or _returns_response(context.endpoint)):
            raise Unusual
        self._model = None if self._field is None else self._field.field_info.annotation

    def of(self, answer: Any) -> Response:
        """Raises ResponseValidationError for what is not of the endpoint's model."""
        field = self._field
        if field is None and self._is_empty and answer is None:
            return Response(status_code=204, media_type="application/json")
        if field is None:
            raise TypeError(f"an endpoint has returned {type(answer).__name__}, not a Response")
        if type(answer) is not self._model:  # an instance of the model itself is valid
            answer, wrong = field.validate(answer, {}, loc=("response",))
            if wrong:
                raise ResponseValidationError(wrong, body=answer)
        return Response(field.serialize_json(answer), self._status, media_type="application/json")


def _returns_response(endpoint: Any) -> bool:
    returned = get_typed_return_annotation(endpoint)
    return isinstance(returned, type) and issubclass(returned, Response)
