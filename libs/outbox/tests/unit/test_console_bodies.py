"""Bodies on a page: nothing of them changes, and none makes a page large or slow."""

from __future__ import annotations

import json
import time

import pytest

from outbox.console.bodies import SHOWN, editable, shown, why_no_body

EXACT = (
    '{"t":0.10,"p":1234567890.123456789012345,"h":1e400,"a":1,"a":2,'
    '"s":"\\ud800 {,[","e":[],"o":{}}'
)


def test_a_body_is_on_several_lines_and_says_what_it_said() -> None:
    lines = editable(EXACT.encode())

    assert lines is not None
    assert '"t": 0.10,\n' in lines
    assert '"p": 1234567890.123456789012345,\n' in lines
    assert '"a": 1,\n  "a": 2,\n' in lines
    assert lines.replace("\n", "").replace("  ", "").replace(": ", ":") == EXACT


@pytest.mark.parametrize(
    "body",
    [b"[" * 900 + b"0," * 20_000 + b"0" + b"]" * 900, b"[" * 200_000, b'{"a":"' + b"x" * 2**20],
    ids=["deep and wide", "too deep", "long"],
)
def test_no_body_makes_a_large_page_or_takes_long(body: bytes) -> None:
    began = time.monotonic()

    assert len(shown(body)) < 2 * SHOWN
    assert time.monotonic() - began < 1


def test_what_is_no_json_or_no_text_is_shown_as_it_is() -> None:
    assert shown(b'{"number": ') == '{"number": '
    assert shown(b"\xff\xfe") == "\\xff\\xfe"
    assert editable(b"\xff\xfe") is None


@pytest.mark.parametrize("text", ['{"a": NaN}', "[" * 100_000, "{", "\ud800", '"' + "x" * 2**20])
def test_a_body_that_no_event_can_have_is_refused_with_the_reason(text: str) -> None:
    assert why_no_body(text)


def test_what_is_shown_is_what_json_reads() -> None:
    value = {"a": [1, {"b": None}, []], "c": 'x"\\,[{:', "d": {}}
    assert json.loads(shown(json.dumps(value).encode())) == value
