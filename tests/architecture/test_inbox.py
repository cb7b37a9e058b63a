"""The inbox stays readable: one module has a table's SQL, and the way through recovery is short."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "libs/outbox/src/outbox"


MODULES_OF = {
    # What is done under the lock of a stream, and what operators ask.
    # What is parked is not missing.
    "inbox_parked": {
        "parked_events.py",
        "parked_queries.py",
        "edits.py",
        "missing_events.py",
        "journey_queries.py",
        "flow_queries.py",
    },
    "inbox_discarded": {"parked_events.py", "edits.py", "journey_queries.py"},
    # What is counted under the lock of a stream, and what a batch notes without it.
    "inbox_attempts": {"position.py", "redelivered.py"},
    "inbox_tripped": {"tripped_types.py"},
    # How beacons follow each other, and whether there is anything to search for.
    "inbox_beacons": {"beacon_chain.py", "missing_events.py"},
    "inbox_missing": {"missing_events.py", "journey_queries.py"},
    # When events took effect, and what a journey asks.
    "inbox_applied": {"applied_times.py", "journey_queries.py", "flow_queries.py"},
}


@pytest.mark.parametrize("table", MODULES_OF)
def test_all_statements_on_a_table_of_the_inbox_are_in_its_modules(table: str) -> None:
    statement = re.compile(rf"\b(FROM|JOIN|INTO|UPDATE)\s+{table}\b")
    found = {path.name for path in LIBRARY.rglob("*.py") if statement.search(path.read_text())}
    assert found == MODULES_OF[table]


def test_what_operators_ask_of_parked_events_changes_no_row() -> None:
    queries = (LIBRARY / "inbox/parked_queries.py").read_text()
    assert not re.search(r"\b(INSERT|UPDATE|DELETE)\b", queries)


def test_verbs_of_the_inbox_belong_to_the_object_that_has_its_connection() -> None:
    functions = [
        node
        for path in (LIBRARY / "inbox").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    begins = [[argument.arg for argument in node.args.args[:2]] for node in functions]
    assert begins.count(["connection", "consumer"]) <= 1, "list_parked is for all consumers too"


def test_the_way_through_recovery_names_methods_that_exist() -> None:
    page = (ROOT / "docs/inbox.md").read_text()
    stops = re.findall(r"^\d\. `inbox/(\w+)\.py`(.*)$", page, re.MULTILINE)
    assert 4 <= len(stops) <= 8
    for module, text in stops:
        for name, method in re.findall(r"`([A-Z]\w+)\.(\w+)`", text):
            classes = [import_module(f"outbox.inbox.{stop}") for stop in {module, "recovery"}]
            assert any(hasattr(getattr(there, name, None), method) for there in classes), method
