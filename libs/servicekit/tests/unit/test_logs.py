"""One JSON object a line, from structlog and the standard library, with its trace."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import httpx
import structlog

from servicekit.http.app import ServiceApp
from servicekit.observe import logs, trace
from servicekit.process.settings import LogFormat, LogLevel

LogLines = Callable[..., list[dict[str, Any]]]


def test_both_kinds_of_logger_write_the_same_json(log_lines: LogLines) -> None:
    trace.adopt("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    structlog.get_logger().info("placed", toy=1)
    logging.getLogger("library").warning("odd: %s", "thing")
    ours, theirs = log_lines()
    assert ours["toy"] == 1
    assert (ours["event"], theirs["event"]) == ("placed", "odd: thing")
    for line in (ours, theirs):
        assert line["service"] == "toys"
        assert line["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
        assert {"level", "timestamp"} <= set(line)


def test_many_lines_are_written_at_once_whatever_the_level_is() -> None:
    written = list[str]()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    lines = [{"n": n, "amount": 1.5, "id": UUID(int=n)} for n in range(3)]
    logs.configure("toys", LogLevel.ERROR, LogFormat.JSON, Stream())
    logs.write_all("sold", iter(lines))
    logs.write_all("sold", [])
    [text] = written
    found = [json.loads(line) for line in text.splitlines()]
    assert [line["n"] for line in found] == [0, 1, 2]
    assert found[1]["id"] == str(UUID(int=1))
    assert {(line["event"], line["level"], line["service"]) for line in found} == {
        ("sold", "info", "toys")
    }
    logs.configure("toys", LogLevel.ERROR, LogFormat.CONSOLE, console := io.StringIO())
    logs.write_all("sold", lines)
    assert console.getvalue().count("sold") == 3


def test_a_line_is_json_whatever_its_values_are(log_lines: LogLines) -> None:
    structlog.get_logger().info("odd", huge=float("inf"), thing=object(), n=10**40)
    structlog.get_logger().info("odd", half="\ud800", thing=object())
    whole, half = log_lines()
    assert (whole["huge"], whole["n"], half["half"]) == ("Infinity", 10**40, "\ud800")
    assert all(line["thing"].startswith("<object") for line in (whole, half))


def test_an_exception_stays_on_one_line(log_lines: LogLines) -> None:
    try:
        int("first\nsecond")
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed too")
    assert all("Traceback" in line["exception"] for line in log_lines())


def test_a_traceback_on_the_console_shows_no_local_variables(
    log_lines: LogLines,
) -> None:
    stream = io.StringIO()
    logs.configure("toys", LogLevel.INFO, LogFormat.CONSOLE, stream)
    password = "hidden" + "-secret"
    try:
        int(password[:6])
    except ValueError:
        structlog.get_logger().exception("failed")
    out = stream.getvalue()
    assert "Traceback" in out
    assert password not in out


async def test_requests_are_logged_at_debug_and_failures_always(
    toy_app: ServiceApp, log_lines: LogLines
) -> None:
    transport = httpx.ASGITransport(toy_app)
    for level, expected in ((LogLevel.INFO, [503]), (LogLevel.DEBUG, [200, 503])):
        log_lines(level)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            await client.get("/api/v1/toys?owner=private")
            await client.get("/api/v1/toys/crashes/database")
        answered = [line for line in log_lines() if line["event"] == "answered"]
        assert [line["status"] for line in answered] == expected
        assert "private" not in json.dumps(answered)


def test_the_length_of_a_line_is_bounded(log_lines: LogLines) -> None:
    structlog.get_logger().info("odd", text="x" * 10**7, deep={"y": ["z" * 10**6]}, short="kept")
    logging.getLogger("library").warning("odd: %s", "w" * 10**7)
    try:
        dict[str, str]()["v" * 10**7 + " the end"]
    except KeyError:
        logging.getLogger("library").exception("failed")
    lines = log_lines()
    assert all(len(json.dumps(line)) < logs.MAX_LINE for line in lines)
    assert (lines[0]["short"], lines[0]["text"][:2]) == ("kept", "xx")
    assert "characters left out" in lines[0]["deep"]
    assert lines[2]["exception"].endswith("the end'")


def test_the_length_of_a_line_on_the_console_is_bounded(log_lines: LogLines) -> None:
    stream = io.StringIO()
    logs.configure("toys", LogLevel.INFO, LogFormat.CONSOLE, stream)
    structlog.get_logger().info("odd", text="x" * 10**7)
    assert len(stream.getvalue()) < logs.MAX_LINE + 100
