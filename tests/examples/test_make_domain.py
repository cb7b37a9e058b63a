"""`make domain` on a copy of the repository: what it writes passes the checks and its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.copies import Copy

DOMAINS = {
    "example_things": ("SIDES=orders,processor", "REPLIES=yes"),
    "sample_deliveries": ("SIDES=processor,orders",),
    "example_notes": ("SIDES=orders",),
}
"""Names that no domain has."""
CHECKS = (
    "libs/contracts",
    "tests/architecture/test_documentation.py",
    "tests/architecture/test_domains.py",
    "tests/architecture/test_layout.py",
    "tests/architecture/test_migrations.py",
    "tests/architecture/test_vocabulary.py",
    "service-orders/tests/postgres/test_orders_schema.py",
    "service-processor/tests/postgres/test_processor_schema.py",
)


E2E = "tests/e2e/test_example_things_end_to_end.py"


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy.make(tmp_path / "checkout")


@pytest.mark.timeout(600)  # it runs whole commands, one after the other
def test_what_the_generators_write_passes_the_checks(copy: Copy) -> None:
    for name, options in DOMAINS.items():
        copy.make_target("domain", f"NAME={name}", *options)
    copy.make_target("contracts")
    for service in ("orders", "processor"):
        copy.make_target("migration", f"SERVICE={service}", "M=The tables of the new domains")
    copy.python("ruff", "check", "--no-cache", ".")
    copy.python("ruff", "format", "--check", "--no-cache", ".")
    sources = sorted(str(path) for path in written(copy, "src/**/*.py"))
    copy.python("mypy", *sources, *sorted(str(path) for path in copy.root.glob(E2E)))
    tests = [str(path) for path in written(copy, "tests/**/test_*.py")]
    assert len(tests) == 5
    copy.python("pytest", "-q", "-p", "no:cacheprovider", *CHECKS, *tests)


def written(copy: Copy, pattern: str) -> list[Path]:
    """The files of the new domains."""
    files = [*copy.root.glob(f"libs/*/{pattern}"), *copy.root.glob(f"service-*/{pattern}")]
    return [path for path in files if any(name in str(path) for name in DOMAINS)]
