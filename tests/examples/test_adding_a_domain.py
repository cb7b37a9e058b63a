"""docs/adding-a-domain.md, followed on a copy of the repository: the checks and tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "adding-a-domain.md").read_text()
LEFT_OUT = shutil.ignore_patterns("venv", ".*", "__pycache__", "*.egg-info", "build")
TESTS = (
    "libs/contracts",
    "tests/architecture/test_documentation.py",
    "tests/architecture/test_domains.py",
    "tests/architecture/test_layout.py::test_domains_use_the_same_file_names",
    "tests/architecture/test_layout.py::test_imports_point_in_the_allowed_directions",
    "service-orders/tests/postgres/test_orders_schema.py",
    "service-orders/tests/postgres/test_reviews_api.py",
    "service-processor/tests/postgres/test_processor_schema.py",
    "service-processor/tests/postgres/test_reviews.py",
)
NOT_TWICE = "not worked_example"
"""The check that the page's diffs apply; in the copy they are applied already."""


def run(copy: Path, *command: str, text: str | None = None) -> str:
    """What a program prints that runs in the copy and imports from it."""
    sources = [str(path) for path in copy.glob("*/src")] + [str(p) for p in copy.glob("*/*/src")]
    done = subprocess.run(
        command,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository with every block of the page applied."""
    copy = tmp_path / "checkout"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    for path in (".env.example", ".github"):
        (shutil.copytree if (ROOT / path).is_dir() else shutil.copy)(ROOT / path, copy / path)
    for path, text in re.findall(r"^```python\n# (\S+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_text(text)
    for diff in re.findall(r"^```diff\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        run(copy, "git", "apply", "-C1", text=diff)
    run(copy, sys.executable, "-m", "contracts")
    return copy


def test_the_page_adds_a_domain_that_passes_the_checks(copy: Path) -> None:
    run(copy, sys.executable, "-m", "ruff", "check", "--no-cache", ".")
    run(copy, sys.executable, "-m", "ruff", "format", "--check", "--no-cache", ".")
    pytest = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    run(copy, *pytest, "-k", NOT_TWICE, *TESTS)
