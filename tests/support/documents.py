"""The OpenAPI documents of both services, tried out: random cases, and what must hold of answers.

Beyond what `Case` checks by itself, a case is aimed: at orders that exist, without a long wait.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import requests
import schemathesis
from live_services import Live
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    positive_data_acceptance,
    unsupported_method,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

# What is refused although the document allows it: values that depend on others, and what holds for
# every string and number at any depth. (1.0 is the last of them: a whole number to JSON Schema.)
BEYOND_SCHEMA = {"idempotency_key_reused", "too_many_of_one_product"}
BEYOND_SCHEMA_TOO = re.compile(
    "NUL bytes|Lone surrogates|64 bits|number is out of range|no cursor of this list"
)
# GET here is an order by its id, which "new" is not: 422, and `Allow` rightly has GET.
SHADOWED = "/api/v1/orders/new"
LONGEST_WAIT = 0.01

AnyCase = schemathesis.Case[Any]


def tried(document: dict[str, Any], *, examples: int, seed: int) -> OpenApiSchema:
    """The document, for so many random cases of each operation."""
    config = schemathesis.Config(seed=seed)
    config.projects.default.generation.update(max_examples=examples, database="none")
    return schemathesis.openapi.from_dict(document, config=config)


@dataclass
class Tries:
    """One service being tried, and how often it gave which answer to which operation."""

    live: Live
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    orders: deque[str] = field(default_factory=lambda: deque(maxlen=10))
    session: requests.Session = field(default_factory=requests.Session)

    def run(self, case: AnyCase) -> None:
        """Send the case; raises all that is wrong with its answer."""
        self._aim(case)
        answer = case.call(base_url=self.live.base, session=self.session)
        if case.method == case.operation.method.upper():
            self.answers[case.operation.label, answer.status_code] += 1
        if answer.status_code == 201:
            self.orders.append(answer.json()["id"])
        excluded: list[schemathesis.CheckFunction] = []
        if case.operation.path == SHADOWED:
            excluded += [allow_header_conformance, unsupported_method]
        if _beyond_schema(case, answer):
            excluded.append(positive_data_acceptance)
        case.validate_response(answer, excluded_checks=excluded)

    def _aim(self, case: AnyCase) -> None:
        parameters, query = case.path_parameters or {}, case.query or {}
        if self.orders and "order_id" in parameters and _is_valid(case, ParameterLocation.PATH):
            # A checksum, since hash() differs from run to run: a case does not decide its own.
            chosen = crc32(str(parameters["order_id"]).encode())
            if chosen % 2:
                parameters["order_id"] = self.orders[chosen % len(self.orders)]
        wait = query.get("wait")
        if isinstance(wait, int | float) and LONGEST_WAIT < wait <= 30:
            query["wait"] = LONGEST_WAIT


def _is_valid(case: AnyCase, location: ParameterLocation) -> bool:
    part = case.meta.components.get(location) if case.meta else None
    return part is None or not part.mode.is_negative


def _beyond_schema(case: AnyCase, answer: schemathesis.Response) -> bool:
    """Whether a value was refused by a rule of ours that JSON Schema cannot say."""
    if answer.status_code != 422:
        return False
    problem = answer.json()
    messages = [error["message"] for error in problem.get("errors", ())]
    return (
        problem["code"] in BEYOND_SCHEMA
        or any(map(BEYOND_SCHEMA_TOO.search, messages))
        or _has_whole_float(case.body)
    )


def _has_whole_float(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    if isinstance(value, dict):
        return any(map(_has_whole_float, value.values()))
    return isinstance(value, list) and any(map(_has_whole_float, value))
