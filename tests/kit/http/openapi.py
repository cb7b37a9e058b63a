"""The OpenAPI documents of both services, tried out: random cases, and what must hold of answers.

Beyond what `Case` checks by itself, a case is aimed: at things that exist, without a long wait.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import requests
import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    positive_data_acceptance,
    unsupported_method,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from kit.http.live_services import Live
from kit.services.restaurant import at

# What is refused although the document allows it: values that depend on others, and what holds for
# every string and number at any depth. (1.0 is the last of them: a whole number to JSON Schema.)
BEYOND_SCHEMA = {"idempotency_key_reused", "too_many_of_one_product"}
NO_OFFERS = {"offer_invalid", "offer_expired"}
BEYOND_SCHEMA_TOO = re.compile(
    "NUL bytes|Lone surrogates|64 bits|number is out of range|not a cursor of this list"
    "|lies in the past|time is out of range|days ahead|does not exist in|no time zone of this name"
    "|valid datetime|Control characters|in plain digits"
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
    made: dict[str, deque[str]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=10))
    )
    ticket_of: dict[str, str] = field(default_factory=dict)
    """By comment."""
    tokens: deque[str] = field(default_factory=lambda: deque(maxlen=10))
    """Of offers that nobody has taken yet."""
    session: requests.Session = field(default_factory=requests.Session)

    def run(self, case: AnyCase) -> None:
        """Send the case; raises all that is wrong with its answer."""
        self._aim(case)
        answer = case.call(base_url=self.live.base, session=self.session)
        if case.method == case.operation.method.upper():
            self.answers[case.operation.label, answer.status_code] += 1
        if answer.status_code == 201:
            paths = case.operation.schema.raw_schema["paths"]
            self._remember(_parameter_of(case.operation.path, paths), answer.json())
        excluded: list[schemathesis.CheckFunction] = []
        if case.operation.path == SHADOWED:
            excluded += [allow_header_conformance, unsupported_method]
        if _beyond_schema(case, answer):
            excluded.append(positive_data_acceptance)
        case.validate_response(answer, excluded_checks=excluded)
        if answer.status_code == 422 and case.method == case.operation.method.upper():
            _assert_says_where(case, answer)

    def _remember(self, parameter: str, made: dict[str, Any]) -> None:
        # A rental that has just been started cannot be finished: nobody here holds its deposit.
        if parameter != "rental_id":
            self.made[parameter].append(made["id"])
        if parameter == "offer_id":
            self.tokens.append(made["token"])
        if parameter == "comment_id":
            self.ticket_of[made["id"]] = made["ticket_id"]

    def _aim(self, case: AnyCase) -> None:
        parameters, query = case.path_parameters or {}, case.query or {}
        for name in self.made.keys() & parameters.keys():
            if _is_valid(case, ParameterLocation.PATH):
                # A checksum, since hash() differs from run to run: a case does not decide its own.
                chosen = crc32(str(parameters[name]).encode())
                if chosen % 2:
                    parameters[name] = self.made[name][chosen % len(self.made[name])]
        if ticket_id := self.ticket_of.get(str(parameters.get("comment_id"))):
            parameters["ticket_id"] = ticket_id
        if isinstance(case.body, dict) and _is_valid(case, ParameterLocation.BODY):
            _come_true(case.body)
            if "token" in case.body and self.tokens and crc32(str(case.body).encode()) % 2:
                case.body["token"] = self.tokens.popleft()
        if LONGEST_WAIT < _seconds(query.get("wait")) <= 30:
            query["wait"] = LONGEST_WAIT


def _seconds(wait: object) -> float:
    """How long a case would have us wait; boundary values come as text."""
    try:
        return float(wait) if isinstance(wait, int | float | str) else 0.0
    except ValueError:
        return 0.0


def _come_true(body: dict[str, Any]) -> None:
    """A wish for a table, half the time at a place that there is and at a time to come.

    Or for a scooter, half the time for one that there is by somebody who is known.
    """
    times = {"booking_datetime", "reservation_time"} & body.keys()
    chosen = crc32(str(body).encode())
    if {"user_id", "scooter_id"} <= body.keys() and chosen % 2:
        body |= {"user_id": "user-1", "scooter_id": f"scooter-{chosen}"}
    if times and chosen % 2:
        body |= dict.fromkeys({"restaurant_id", "table_id"} & body.keys(), 1)
        body[times.pop()] = at(15 * (chosen % 10_000))


def _parameter_of(path: str, paths: Iterable[str]) -> str:
    """`order_id` for what is made under /orders and /orders/new: what follows them in a path."""
    made = path.removesuffix("/new")
    following = re.compile(rf"{re.escape(made)}/{{(\w+)}}")
    found = [match[1] for other in paths if (match := following.match(other))]
    return found[0] if found else made.rpartition("/")[2].removesuffix("s") + "_id"


def _is_valid(case: AnyCase, location: ParameterLocation) -> bool:
    part = case.meta.components.get(location) if case.meta else None
    return part is None or not part.mode.is_negative


def _assert_says_where(case: AnyCase, answer: schemathesis.Response) -> None:
    """A 422 names the fields, and its code stands in the document."""
    problem = answer.json()
    assert problem.get("errors"), problem
    responses = case.operation.definition.raw["responses"]
    documented = responses["422"]["content"]["application/problem+json"]["examples"]
    assert problem["code"] in documented, problem


def _beyond_schema(case: AnyCase, answer: schemathesis.Response) -> bool:
    """Whether a value was refused by a rule of ours that JSON Schema cannot say."""
    if answer.status_code == 400:
        return answer.json()["code"] in NO_OFFERS
    if answer.status_code != 422:
        return bool(answer.status_code == 412)
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
