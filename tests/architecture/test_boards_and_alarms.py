"""Alarms and boards name only metrics that exist, and each alarm has a section for who sees it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.exported_metrics import exported

ROOT = Path(__file__).parents[2]
PROMETHEUS, BOARDS = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "grafana" / "boards"
PAGE = (ROOT / "docs" / "operations.md").read_text()
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
}
# Of Prometheus, prometheus_client and RabbitMQ's plugin; `tests/alarms` asks for them.
OTHERS = {
    "ALERTS",
    "up",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_resident_memory_bytes",
    "rabbitmq_detailed_queue_consumers",
    "rabbitmq_detailed_queue_messages_ready",
    "rabbitmq_detailed_queue_messages_unacked",
}
PROMQL = {
    *("and", "bool", "by", "offset", "on", "or", "unless", "without"),
    *("count", "histogram_quantile", "increase", "max", "max_over_time", "min", "rate", "sum"),
    "vector",
}
PARTS_OF_A_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)$")


@cache
def board(name: str) -> dict[str, Any]:
    found = json.loads((BOARDS / name).read_text())
    assert isinstance(found, dict)
    return found


def expressions(name: str) -> list[str]:
    panels = board(name)["panels"]
    return [str(one["expr"]) for panel in panels for one in panel.get("targets", ())]


NAMES = sorted(path.name for path in BOARDS.glob("*.json"))
EXPRESSIONS = {
    **{alarm: [str(rule["expr"])] for alarm, rule in RULES.items()},
    **{name: expressions(name) for name in NAMES},
}


def metrics_in(expression: str) -> set[str]:
    """The metrics of an expression: its names but for labels and PromQL's own words."""
    without = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(?:by|on) \([^)]*\)|\b\d+[smhd]\b", " ", expression)
    found = set(re.findall(r"[A-Za-z_]\w*", without)) - PROMQL
    return {PARTS_OF_A_HISTOGRAM.sub("", name) for name in found}


def labels_in(expression: str) -> set[str]:
    """The labels that an expression groups by or selects."""
    grouped = re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
    selected = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression)
    return {label.strip() for group in grouped for label in group.split(",")} | set(selected)


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_metric_of_a_rule_or_a_board_exists(where: str) -> None:
    for expression in EXPRESSIONS[where]:
        assert metrics_in(expression) - exported().keys() - OTHERS == set(), expression


@pytest.mark.parametrize("where", EXPRESSIONS)
def test_every_label_of_a_rule_or_a_board_is_one_of_its_metrics_or_of_their_targets(
    where: str,
) -> None:
    given = {"job", "instance", "service", "role", "le", "queue", "vhost", "alertstate"}
    for expression in EXPRESSIONS[where]:
        own = {label for name in metrics_in(expression) for label in exported().get(name, ())}
        assert labels_in(expression) - own - given == set(), expression


def test_every_metric_is_on_a_board() -> None:
    shown = {name for board in NAMES for one in EXPRESSIONS[board] for name in metrics_in(one)}
    assert exported().keys() - shown == set()


def test_boards_are_told_apart() -> None:
    assert len(NAMES) == 3
    assert len({board(name)["uid"] for name in NAMES}) == len(NAMES)
    for name in NAMES:
        ids = [panel["id"] for panel in board(name)["panels"]]
        assert len(ids) == len(set(ids))


# -- alarms --------------------------------------------------------------------------------------

SECTIONS = dict(
    re.findall(r"^### (\w+)\n\n(.*?)(?=^##)", PAGE.partition("\n## Alarms\n")[2], re.M | re.S)
)


@pytest.mark.parametrize("alarm", RULES)
def test_every_alarm_names_its_section_and_the_section_says_what_to_do(alarm: str) -> None:
    assert RULES[alarm]["annotations"]["runbook"] == f"docs/operations.md#{alarm.lower()}"
    said = re.findall(r"^- \*\*(.+?)\*\*: \S", SECTIONS[alarm], re.MULTILINE)
    assert said == ["Means", "Look at", "Do"]


def test_the_table_of_alarms_lists_each_with_its_severity() -> None:
    listed = dict(re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (\w+) \|", PAGE, re.MULTILINE))
    assert listed == {alarm: rule["labels"]["severity"] for alarm, rule in RULES.items()}
    assert listed.keys() == SECTIONS.keys() & listed.keys()


@pytest.mark.parametrize("alarm", RULES)
def test_a_summary_names_only_labels_that_its_expression_keeps(alarm: str) -> None:
    rule = RULES[alarm]
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    grouped = re.search(r"\bby \(([^)]*)\)", rule["expr"])
    if grouped:
        assert shown <= set(re.split(r",\s*", grouped[1]))


def test_every_alarm_has_a_test_of_promtool() -> None:
    tests = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    assert [one["name"] for one in tests] == list(RULES)
