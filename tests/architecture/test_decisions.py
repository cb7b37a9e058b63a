"""Decision records have one form, and their index says of each what the record says itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "decisions"
INDEX = FOLDER / "README.md"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
NUMBERS = [path.name[:4] for path in RECORDS]
HEAD = re.compile(r"# (\d{4})\. (.+)\n\nStatus: (holds|replaced by (\d{4}))\n\n\*\*Context\.\*\* ")
NAMED = re.compile(r"(?i)\bdecisions? \[?(\d{4})\b")


def head_of(path: Path) -> re.Match[str]:
    head = HEAD.match(path.read_text())
    assert head, "begins with its number and title, its status and its context"
    return head


def test_each_number_is_given_once() -> None:
    assert len(NUMBERS) == len(set(NUMBERS))


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name[:4])
def test_a_record_has_its_number_a_status_a_choice_and_a_consequence(path: Path) -> None:
    number, _, _, replaced_by = head_of(path).groups()
    assert path.name.startswith(f"{number}-")
    assert replaced_by is None or (replaced_by != number and replaced_by in NUMBERS)
    assert "\n\n**Choice.** " in path.read_text().replace("**Choice.**\n", "**Choice.** ")
    assert "\n\n**Consequence.** " in path.read_text()


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name[:4])
def test_a_record_is_in_the_index_once_with_its_title_and_status(path: Path) -> None:
    number, title, status, _ = head_of(path).groups()
    state = "" if status == "holds" else f" ({status})"
    lines = [line for line in INDEX.read_text().splitlines() if f"({path.name})" in line]
    assert lines == [f"- [{number}]({path.name}) {title}{state}"]


def test_every_decision_that_the_code_names_is_there() -> None:
    sources = [
        path
        for top in ("libs", "service-*", "tools", "tests", "bench", "chaos")
        for path in ROOT.glob(f"{top}/**/*.py")
        if "venv" not in path.parts and path != Path(__file__)
    ]
    named = [(path, number) for path in sources for number in NAMED.findall(path.read_text())]
    assert [(path, number) for path, number in named if number not in NUMBERS] == []
