"""docs/adding-a-domain.md, followed on a copy of the repository: the checks and tests pass."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.copies import Copy

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-domain.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"(?:# |<!-- )(\S+?)(?: -->)?\n(.*)", re.DOTALL)
WRITERS = ("domain", "contracts", "migration")
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


def follow(copy: Copy) -> Iterator[str]:
    """Write each file and run each command that writes, in the order of the page."""
    for language, block in BLOCK.findall(PAGE.read_text()):
        if language:
            written = FILE.fullmatch(block)
            assert written, f"a block of the page does not begin with its file: {block}"
            (copy.root / written[1]).parent.mkdir(parents=True, exist_ok=True)
            (copy.root / written[1]).write_text(written[2])
            yield written[1]
        for command in re.findall(r"^\$ make (.*)$", block, re.MULTILINE):
            target, *settings = shlex.split(command)
            if target in WRITERS:
                copy.make_target(target, *settings)
                yield target


@pytest.mark.timeout(600)  # it runs whole commands, one after the other
def test_the_page_adds_a_domain_that_passes_the_checks(tmp_path: Path) -> None:
    copy = Copy.make(tmp_path / "checkout")
    steps = list(follow(copy))
    assert steps[:3] == ["domain", "libs/contracts/src/contracts/reviews.py", "contracts"]
    assert steps.count("migration") == 2
    copy.python("ruff", "check", "--no-cache", ".")
    copy.python("ruff", "format", "--check", "--no-cache", ".")
    copy.python("pytest", "-q", "-p", "no:cacheprovider", *TESTS)
