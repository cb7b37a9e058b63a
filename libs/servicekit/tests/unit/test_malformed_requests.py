"""Malformed requests are counted one by one and logged at most once a second."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry

from servicekit.http.malformed_requests import MalformedRequests


def test_each_code_has_its_own_count_and_line(log_lines: Any) -> None:
    now = [100.0]
    malformed = MalformedRequests(CollectorRegistry(), lambda: now[0])
    log_lines()
    codes = ["malformed_request"] * 300 + ["request_timeout"] * 50
    for code in codes:
        malformed.note(code, None)
    now[0] += 1
    for code in dict.fromkeys(codes):
        malformed.note(code, None)
    assert [(line["code"], line["count"]) for line in log_lines()] == [
        ("malformed_request", 1),
        ("request_timeout", 1),
        ("malformed_request", 300),
        ("request_timeout", 50),
    ]


def test_thousands_are_counted_and_a_second_has_one_line(log_lines: Any) -> None:
    registry, now = CollectorRegistry(), [100.0]
    malformed = MalformedRequests(registry, lambda: now[0])
    log_lines()
    for number in range(3000):
        now[0] = 100 + number / 1000
        malformed.note("malformed_request", ("192.0.2.7", number))
    lines = log_lines()
    assert [(line["client"], line["count"]) for line in lines] == [
        ("192.0.2.7", 1),
        ("192.0.2.7", 1000),
        ("192.0.2.7", 1000),
    ]
    assert {line["event"] for line in lines} == {"malformed_request"}
    counted = registry.get_sample_value(
        "http_malformed_requests_total", {"code": "malformed_request"}
    )
    assert counted == 3000
