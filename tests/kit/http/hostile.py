"""What callers send who mean no good, or no JSON: for every API alike, each with its name.

Values are JSON text, so that they can be what no JSON library would write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

Named = tuple[str, str]
Refusal = tuple[str, bytes, int, str]

NOT_JSON: tuple[tuple[str, bytes], ...] = (
    ("half an object", b"{"),
    ("two values", b"{}{}"),
    ("a trailing comma", b'{"a":"o",}'),
    ("single quotes", b"{'a':'o'}"),
    ("a comment", b'{"a":1 /* one */}'),
    ("bytes that are no UTF-8", b'{"a":"\xff"}'),
    ("a raw surrogate", b'{"a":"\xed\xa0\x80"}'),
    ("an overlong encoding", b'{"a":"\xc0\x80"}'),
    ("UTF-16", '{"a":"o"}'.encode("utf-16")),
    ("UTF-32", '{"a":"o"}'.encode("utf-32")),
    ("a byte order mark", b'\xef\xbb\xbf{"a":"o"}'),
    ("a raw NUL", b'{"a":"\x00"}'),
    ("a raw newline in a string", b'{"a":"\n"}'),
    ("a bad escape", b'{"a":"\\x00"}'),
    ("a number with a leading zero", b'{"a":01}'),
    ("a hexadecimal number", b'{"a":0x1}'),
    ("deep arrays without an end", b"[" * 9_000),
    ("deep arrays", b"[" * 9_000 + b"]" * 9_000),
    ("deep objects", b'{"a":' * 9_000 + b"1" + b"}" * 9_000),
    ("a member twice", b'{"a":1,"a":1}'),
    ("a member twice, deep inside", b'{"a":[{"b":{"c":1,"\\u0063":2}}]}'),
    ("a form", b"user_id=u&amount=1"),
    (
        "XML",
        b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    ),
)
"""Answered 400 `malformed_json`."""

TOO_MUCH: tuple[tuple[str, bytes], ...] = (
    ("200,000 arrays without an end", b"[" * 200_000),
    ("100,000 arrays in each other", b"[" * 100_000 + b"]" * 100_000),
    ("100,000 objects in each other", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    ("100,000 empty objects", b"[" + b"{}," * 100_000 + b"{}]"),
    ("300,000 strings", b"[" + b'"",' * 300_000 + b'""]'),
)
"""More values than are read: answered 422 whatever they are, and before any is made."""

NOT_AN_OBJECT: tuple[Named, ...] = (
    ("null", "null"),
    ("an array", "[]"),
    ("a string", '"text"'),
    ("a number", "1"),
    ("true", "true"),
)

UNSTORABLE: tuple[Named, ...] = (
    ("an escaped NUL", '"\\u0000"'),
    ("a lone high surrogate", '"\\ud800"'),
    ("a lone low surrogate", '"\\udc00x"'),
    ("surrogates in the wrong order", '"\\udc00\\ud800"'),
    ("a NUL in a name", '{"\\u0000":1}'),
    ("a surrogate in a name", '{"\\ud800":1}'),
    ("a surrogate deep inside", '{"a":[{"b":"\\ud800"}]}'),
    ("a NUL under a long name", '{"' + "x" * 900_000 + '":"\\u0000"}'),
    ("2^63", "9223372036854775808"),
    ("-2^63-1", "-9223372036854775809"),
    ("5,000 digits", "9" * 5000),
    ("900,000 digits", "9" * 900_000),
    ("1e400", "1e400"),
    ("1e-400", "1e-400"),
    ("a huge exponent", "1e999999999"),
    ("an exponent past 64 bits", "1e99999999999999999999"),
    ("NaN", "NaN"),
    ("Infinity", "Infinity"),
    ("-Infinity", "-Infinity"),
)
"""Refused wherever it stands, even in a member that nobody reads."""

WRONG_TEXTS: tuple[Named, ...] = (
    ("an empty string", '""'),
    ("256 characters", '"' + "x" * 256 + '"'),
    ("256 characters of two units each", '"' + "\\ud83d\\ude00" * 256 + '"'),
    ("a number for a string", "1"),
    ("a boolean for a string", "true"),
    ("null for a string", "null"),
    ("a list for a string", '["u"]'),
    ("an object for a string", '{"$ne":""}'),
)
"""No string of 1 to 255 characters."""

WRONG_MONEY: tuple[Named, ...] = (
    ("NaN for money", "NaN"),
    ("the word NaN", '"NaN"'),
    ("the word Infinity", '"Infinity"'),
    ("money as a boolean", "true"),
    ("money as a list", "[1]"),
    ("money as null", "null"),
    ("no money", '""'),
    ("three decimals", "0.001"),
    ("three decimals in a string", '"0.001"'),
    ("a float's tail", "0.30000000000000004"),
    ("negative money", "-0.01"),
    ("negative money in a string", '"-0.01"'),
    ("10^10", "10000000000"),
    ("10^10 in a string", '"10000000000"'),
    ("10^10 by an exponent", "1e10"),
    ("next to nothing", "1e-300"),
    ("an exponent in a string", '"1e2"'),
    ("an underscore in a string", '"1_0"'),
    ("a plus in a string", '"+1"'),
    ("no digit before the point", '".5"'),
    ("a comma for a point", '"1,50"'),
    ("a currency", '"1 EUR"'),
    ("Arabic digits", '"١٢"'),
    ("a blank before money", '" 1"'),
    ("a newline after money", '"1\\n"'),
)

WRONG_QUANTITIES: tuple[Named, ...] = (
    ("quantity 0", "0"),
    ("a negative quantity", "-1"),
    ("quantity -0", "-0"),
    ("quantity 1.0", "1.0"),
    ("quantity 1.5", "1.5"),
    ("quantity 1e0", "1e0"),
    ("quantity true", "true"),
    ("quantity as a string", '"1"'),
    ("quantity null", "null"),
    ("quantity as a list", "[1]"),
    ("quantity 1,000,001", "1000001"),
    ("quantity 10^30", "1" + "0" * 30),
)
"""No whole number from 1 to 1,000,000."""

WRONG_WAITS = (
    "long",
    "",
    "-1",
    "-0.001",
    "31",
    "30.0001",
    "nan",
    "inf",
    "1e400",
    "0x1",
    "1,5",
    "[]",
    "1e1",
    "1_0",
    "%205",
    "+5",
)
"""Values of `?wait=`; each is 422."""

CONTENT_TYPES = (
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "text/plain",
    "application/xml",
    "application/jsonp",
    "application/json, text/plain",
    "json",
    "/",
    "",
)
"""Answered 415 `unsupported_media_type`."""


class Answer(Protocol):
    """What a test sees of an answer, whatever client it uses."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


def assert_problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The answer is a whole problem of this kind, and no echo of what was sent."""
    assert answer.headers["content-type"] == "application/problem+json", answer.content[:500]
    problem: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["type"] == f"/problems/{code}"
    assert problem["instance"]
    assert problem["title"]
    assert problem["detail"]
    assert len(answer.content) < 10_000
    if status == 422:
        assert all(set(error) == {"field", "message"} for error in problem["errors"])
        assert problem["errors"]
    return problem


def invalid(content: Iterable[tuple[str, bytes]]) -> Iterator[Refusal]:
    """Bodies that are JSON, but not what is wanted."""
    for name, body in content:
        yield name, body, 422, "validation_failed"


def an_object(members: Mapping[str, str]) -> bytes:
    """An object with these members, which are JSON text."""
    return ("{" + ",".join(f'"{name}":{text}' for name, text in members.items()) + "}").encode()
