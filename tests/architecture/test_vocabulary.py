"""Names obey docs/glossary.md: a word that its second table strikes is in no name.

Names are those of files, classes and functions, split into words. A title is the name of a test;
it is a sentence, and obeys only the rows that strike titles too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"
FILES = sorted(
    path
    for top in ("libs", "service-*", "tools", "tests", "bench", "chaos", "examples")
    for path in ROOT.glob(f"{top}/**/*.py")
    if "venv" not in path.parts
)


def split(name: str) -> tuple[str, ...]:
    """`HTTPEdge_ofOrders` is http, edge, of, orders."""
    return tuple(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name))


@dataclass(frozen=True)
class Row:
    """Words that are struck below `folders`, or everywhere if there are none."""

    words: tuple[str, ...]
    titles: bool
    folders: tuple[str, ...]
    right: tuple[str, ...]

    def strikes(self, path: str, name: str) -> bool:
        is_title = name.startswith("test_") and not path.endswith(f"/{name}.py")
        if (is_title and not self.titles) or not f"{path} ".startswith(self.folders or ("",)):
            return False
        rest = f" {' '.join(split(name))} "
        for right in self.right:
            rest = rest.replace(f" {' '.join(split(right))} ", " / ")
        return any(f" {' '.join(split(word))} " in rest for word in self.words)


def rows() -> list[Row]:
    text = GLOSSARY.read_text().partition("## Words not used")[2]
    cells = [line.strip("|").split("|") for line in re.findall(r"^\| `.*$", text, re.MULTILINE)]
    in_code = [[tuple(re.findall(r"`(.+?)`", cell)) for cell in line] for line in cells]
    return [
        Row(words=code[0], titles="titles" in line[1], folders=code[1], right=code[3])
        for line, code in zip(cells, in_code, strict=True)
    ]


@cache
def names() -> tuple[tuple[str, str], ...]:
    """Path and name of every file, class and function."""
    return tuple(_names())


def _names() -> Iterator[tuple[str, str]]:
    for path in FILES:
        where = str(path.relative_to(ROOT))
        yield where, path.parent.name if path.stem == "__init__" else path.stem
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield where, node.name


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.words[0])
def test_no_name_has_a_struck_word(row: Row) -> None:
    found = [f"{path}: {name}" for path, name in names() if row.strikes(path, name)]
    assert found == [], "docs/glossary.md says what to say instead"


def test_every_folder_and_every_exception_of_the_glossary_is_needed() -> None:
    in_use = {" ".join(split(name)) for _, name in names()}
    for row in rows():
        assert all(any(ROOT.glob(f"{folder}*")) for folder in row.folders), row.folders
        rights = [" ".join(split(right)) for right in row.right]
        assert [one for one in rights if not any(one in name for name in in_use)] == []


@pytest.mark.parametrize(
    ("path", "name", "struck"),
    [
        ("libs/a.py", "hold_it", True),
        ("libs/a.py", "OnHold", True),
        ("libs/a.py", "holder", False),
        ("tools/a.py", "hold", False),
        ("libs/a.py", "test_what_it_holds_on_hold", False),
        ("libs/test_hold.py", "test_hold", True),
        ("libs/a.py", "cash_hold", False),
    ],
)
def test_whole_words_are_struck(path: str, name: str, struck: bool) -> None:
    row = Row(words=("hold",), titles=False, folders=("libs/",), right=("cash_hold",))
    assert row.strikes(path, name) is struck


def test_a_modules_logger_is_called_logger() -> None:
    logger = re.compile(
        r"^(\w+) = (?:logging|structlog)\.(?:getLogger|get_logger)\(__name__\)", re.MULTILINE
    )
    others = {
        str(path.relative_to(ROOT)): set(logger.findall(path.read_text())) - {"logger"}
        for path in FILES
    }
    assert {path: names for path, names in others.items() if names} == {}
