"""JSON is read exactly or refused, and its cost grows with its length."""

from __future__ import annotations

import gc
import json
import sys
import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from types import FrameType
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.bodies import BODIES, MIB, PLAIN, REFUSED, TAKEN, VALUES, peak, read, seconds
from servicekit.http.strict_json import (
    MAX_INT64,
    MIN_INT64,
    MalformedJson,
    RefusedValue,
    parse,
)

NUMBERS = st.integers(MIN_INT64, MAX_INT64) | st.floats(-1e300, 1e300, allow_subnormal=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
VALUES_OF_JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_no_body_takes_more_than_a_few_times_its_length_of_memory(body: bytes) -> None:
    assert peak(body) < 10 * MIB


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_no_body_takes_much_longer_than_a_plain_one(body: bytes) -> None:
    # CPU time of the same minute, the shortest of some readings each: 12 times at most was seen,
    # and 500 times by a reader that goes through all values.
    assert seconds(body) < 40 * seconds(PLAIN)


@pytest.mark.parametrize("body", TAKEN.values(), ids=list(TAKEN))
def test_a_body_of_the_largest_size_is_accepted(body: bytes) -> None:
    assert read(body) == "taken"


@pytest.mark.parametrize("body", REFUSED.values(), ids=list(REFUSED))
def test_a_body_with_endless_values_is_refused_in_few_words(body: bytes) -> None:
    assert 20 < len(read(body)) < 200


@pytest.mark.parametrize("name", [name for name in TAKEN if "looked at" not in name])
def test_nothing_is_called_for_every_value(name: str) -> None:
    assert len(list(calls_while_reading(TAKEN[name]))) < 20


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", 'x\\\\\\\\u0000"'])
def test_a_nul_that_is_only_text_visits_no_value(text: str) -> None:
    body = json.dumps([text, *[0] * 8000]).encode()
    assert len(list(calls_while_reading(body))) < 20


def test_finding_the_refused_value_keeps_no_other_value() -> None:
    body = json.dumps([*range(9_000), 2**63]).encode()
    assert peak(body) < 1.5 * peak(body.replace(b"9223372036854775808", b"9"))


def calls_while_reading(body: bytes) -> Iterator[str]:
    called: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_name)

    # A collection that falls into this second calls whoever listens to the collector.
    gc.disable()
    sys.setprofile(note)
    try:
        parse(body)
    finally:
        sys.setprofile(None)
        gc.enable()
    yield from called


@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
async def test_a_whole_request_takes_little_memory(client: httpx.AsyncClient, body: bytes) -> None:
    request = {"content": body, "headers": {"content-type": "application/json"}}
    await client.post("/api/v1/toys", **request)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        answer = await client.post("/api/v1/toys", **request)  # type: ignore[arg-type]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 400 <= answer.status_code < 500
    assert len(answer.content) < 10_000
    assert most < 20_000_000


@given(VALUES_OF_JSON)
def test_json_is_read_as_it_was_written(value: Any) -> None:
    for ensure_ascii in (True, False):
        text = json.dumps(value, ensure_ascii=ensure_ascii)
        assert parse(text.encode()) == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize("text", ['"\\\\u0000"', '"NaN"', '"1e999"', '"' + "9" * 30 + '"', "1e99"])
def test_a_value_that_only_looks_refused_is_accepted(text: str) -> None:
    assert parse(text.encode()) == json.loads(text, parse_float=Decimal)


def test_signs_in_a_text_are_not_counted_as_values() -> None:
    text = '[{,:"\\' * VALUES
    assert parse(json.dumps({"text": text}).encode()) == {"text": text}


@pytest.mark.parametrize(
    ("body", "location"),
    [
        (b'{"a":[0,{"b":"\\u0000"}]}', ("a", 1, "b")),
        (b'{"a":[0,{"b":9223372036854775808}]}', ("a", 1, "b")),
        (b'{"a":{"\\u0000":1}}', ("a",)),
        (b'["\\\\","\\\\\\u0000"]', (1,)),
        (b"[" * 190 + b"NaN" + b"]" * 190, (0,) * 190),
        (b'{"a":"\\ud800"}', ()),
        (b'{"a":' + b"9" * 5000 + b"}", ()),
    ],
)
def test_a_refusal_says_where_as_far_as_it_is_known(
    body: bytes, location: tuple[int | str, ...]
) -> None:
    with pytest.raises(RefusedValue) as refused:
        parse(body)
    assert refused.value.location == location


def test_two_hundred_levels_are_read_and_more_are_not() -> None:
    assert parse(b"[" * 200 + b"]" * 200)
    with pytest.raises(MalformedJson, match="recursion limit"):
        parse(b"[" * 300 + b"]" * 300)
