"""`make domain` in a small checkout. `tests/examples/test_make_domain.py` runs what it writes."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from devstack.commands import domain
from devstack.commands.domain_names import DomainNames
from devstack.host.errors import Trouble
from devstack.host.layout import CHECKOUT, Layout
from devstack.native.services import ORDERS, PROCESSOR

READ = (
    "docs/README.md",
    "docs/operations.md",
    "libs/contracts/src/contracts",
    "service-orders/src/service_orders/domains",
    "service-processor/src/service_processor/domains",
    "tools/devstack/templates",
)
EXAMPLES = DomainNames("example_things", "example_thing", ORDERS, PROCESSOR)
"""A name that no domain has."""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A checkout with what the command reads."""
    root = tmp_path / "checkout"
    for name in READ:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (CHECKOUT / name).is_dir() else shutil.copy)(
            CHECKOUT / name, root / name
        )
    (root / "pyproject.toml").write_text((CHECKOUT / "pyproject.toml").read_text())
    (root / "venv").symlink_to(CHECKOUT / "venv")
    return Layout(root, root / ".local")


def content(layout: Layout) -> dict[str, bytes]:
    """Every file that the command could write."""
    root = layout.checkout
    folders = [
        root / name for name in ("docs", "libs", "service-orders", "service-processor", "tests")
    ]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def words(text: bytes) -> set[bytes]:
    return set(re.findall(rb"\w+", text.lower()))


@pytest.mark.parametrize(("replies", "files"), [(False, 15), (True, 20)])
def test_files_are_added_and_lists_get_one_more_line(
    layout: Layout, replies: bool, files: int
) -> None:
    before = content(layout)
    domain.run(layout, replace(EXAMPLES, replies=replies))
    after = content(layout)
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {
        "docs/README.md",
        "docs/operations.md",
        "service-orders/src/service_orders/domains/__init__.py",
        "service-processor/src/service_processor/domains/__init__.py",
    }
    for name in changed:
        # Words, not lines: a list that gets too long for its line is wrapped.
        new = words(after[name]) - words(before[name])
        assert new, name
        assert all(b"example" in word or word == b"things" for word in new), name
        assert words(before[name]) <= words(after[name]), name
    added = sorted(set(after) - set(before))
    assert len(added) == files
    assert all("example_things" in name for name in added)
    assert [name for name in added if b"$" in after[name]] == []


def test_nothing_is_overwritten(layout: Layout) -> None:
    (layout.checkout / "docs/example_things.md").write_text("mine")
    before = content(layout)
    with pytest.raises(Trouble, match=r"docs/example_things\.md exists"):
        domain.run(layout, EXAMPLES)
    assert content(layout) == before


def test_a_failure_leaves_nothing_behind(layout: Layout) -> None:
    before = content(layout)
    (layout.checkout / "venv").unlink()  # no ruff
    with pytest.raises(OSError, match="python"):
        domain.run(layout, EXAMPLES)
    assert content(layout) == before
    assert list(layout.checkout.rglob("example_things*")) == []


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (DomainNames("bookings", "booking", ORDERS, PROCESSOR), "has the events of a booking"),
        (DomainNames("reservations", "reservation", PROCESSOR), "has the events of a reservation"),
        (DomainNames("restaurants", "eating_house", ORDERS), "is a domain of service-orders"),
        (DomainNames("products", "product", PROCESSOR, ORDERS), "has a table products"),
    ],
)
def test_what_exists_is_refused(layout: Layout, names: DomainNames, reason: str) -> None:
    before = content(layout)
    with pytest.raises(Trouble, match=reason):
        domain.run(layout, names)
    assert content(layout) == before


@pytest.mark.parametrize(
    ("plural", "singular"),
    [
        ("parcels", "parcel"),
        ("lost_deliveries", "lost_delivery"),
        ("boxes", "box"),
        ("branches", "branch"),
        ("addresses", "address"),
        ("warehouses", "warehouse"),
    ],
)
def test_the_singular_is_worked_out(plural: str, singular: str) -> None:
    assert DomainNames.of(plural, "orders").singular == singular


def test_the_sender_is_named_first() -> None:
    names = DomainNames.of("people", "processor, orders", "person")
    assert names == DomainNames("people", "person", PROCESSOR, ORDERS)
    assert names.words["QUEUE"] == "ORDERS_PEOPLE"


def test_both_queues_of_a_domain_stand_in_one_row_beside_their_neighbours(layout: Layout) -> None:
    domain.run(layout, replace(EXAMPLES, replies=True))
    rows = (layout.checkout / "docs/operations.md").read_text().splitlines()
    row = rows.index(
        "| `processor.example_things`, `orders.example_things` | the same about example things |"
        " the same |"
    )
    assert rows[row - 1].startswith("| `processor.")
    assert rows[row - 1].endswith("| the same |")


@pytest.mark.parametrize(
    ("sides", "replies"),
    [("orders", "yes"), ("processor,orders", "yes"), ("orders,processor", "no")],
)
def test_only_service_processor_replies(sides: str, replies: str) -> None:
    with pytest.raises(Trouble, match=r"REPLIES=.*SIDES=orders,processor"):
        DomainNames.of("example_things", sides, replies=replies)


@pytest.mark.parametrize(
    ("name", "sides", "singular"),
    [
        ("", "orders", ""),
        ("parcels", "", ""),
        ("parcels", "billing", ""),
        ("parcels", "orders,orders", ""),
        ("parcels", "orders,processor,orders", ""),
        ("Parcels", "orders", ""),
        ("parcel-boxes", "orders", ""),
        ("../parcels", "orders", ""),
        ("parcels_" * 4 + "s", "orders", ""),
        ("people", "orders", ""),
        ("news", "orders", "news"),
        ("classes", "orders", "class"),
    ],
)
def test_other_names_and_sides_are_refused(name: str, sides: str, singular: str) -> None:
    with pytest.raises(Trouble):
        DomainNames.of(name, sides, singular)
