"""`make contracts` on a copy: it writes what is missing, and never changes what was published."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts import __main__ as command

PACKAGE = Path(__file__).parents[2]
CHECKOUT = PACKAGE.parents[1]
THINGS = '''
from typing import ClassVar

from contracts.base import Contract, Name
from contracts.exchanges import ORDERS


class ThingMade(Contract):
    """A thing was made."""

    type: ClassVar[str] = "thing.made"
    source: ClassVar[str] = "service-orders"
    aggregate_type: ClassVar[str] = "thing"

    thing_id: int
    name: Name

    @property
    def aggregate_id(self) -> str:
        return str(self.thing_id)


PROCESSOR_THINGS = ORDERS.to("processor.things", "thing")

SAMPLES = (ThingMade(thing_id=1, name="café"),)
'''
GOLDEN = '{\n  "thing_id": 1,\n  "name": "café"\n}\n'


class Copy:
    """A checkout with the package and its document, and a module more."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(PACKAGE, checkout / "libs/contracts", ignore=ignore)
        (checkout / "docs").mkdir()
        shutil.copy(CHECKOUT / "docs/asyncapi.yaml", checkout / "docs")
        self.things = checkout / "libs/contracts/src/contracts/things.py"
        self.things.write_text(THINGS)

    @property
    def golden(self) -> dict[str, str]:
        folder = self.checkout / "libs/contracts/tests/golden"
        return {path.name: path.read_text() for path in folder.iterdir()}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(self.checkout / "libs/contracts/src")},
            capture_output=True,
            text=True,
            check=False,
        )

    def make_contracts(self) -> subprocess.CompletedProcess[str]:
        return self.run("-m", "contracts")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_new_module_needs_nothing_but_the_command(copy: Copy) -> None:
    before = copy.golden
    done = copy.make_contracts()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "wrote libs/contracts/tests/golden/thing.made.v1.json",
        "wrote docs/asyncapi.yaml",
    ]
    assert copy.golden == before | {"thing.made.v1.json": GOLDEN}
    assert copy.make_contracts().stdout == "nothing to write: every file is up to date\n"


def test_the_tests_of_contracts_pass_with_the_new_module(copy: Copy) -> None:
    copy.make_contracts()
    tests = copy.checkout / "libs/contracts/tests/unit/test_contracts.py"
    done = copy.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests))
    assert done.returncode == 0, done.stdout
    assert "thing.made" in copy.run("-m", "pytest", "--co", "-q", str(tests)).stdout


@pytest.mark.parametrize(("published", "now"), [("café", "tea"), ("name", "label")])
def test_a_changed_event_is_refused_and_nothing_is_written(
    copy: Copy, published: str, now: str
) -> None:
    copy.make_contracts()
    before, document = copy.golden, (copy.checkout / "docs/asyncapi.yaml").read_text()
    copy.things.write_text(THINGS.replace(published, now))
    done = copy.make_contracts()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "libs/contracts/tests/golden/thing.made.v1.json never changes, and the sample of"
        " ThingMade is written differently: restore both, or make a new version of the event"
        " (ThingMade.version = 2)\n"
    )
    assert (copy.golden, (copy.checkout / "docs/asyncapi.yaml").read_text()) == (before, document)


def test_a_new_version_gets_a_golden_sample_of_its_own(copy: Copy) -> None:
    copy.make_contracts()
    fields = "    version: ClassVar[int] = 2\n\n    stars: int = 5\n    thing_id: int\n"
    copy.things.write_text(THINGS.replace("    thing_id: int\n", fields))
    assert "thing.made.v2.json" in copy.make_contracts().stdout
    assert copy.golden["thing.made.v1.json"] == GOLDEN
    assert '"stars": 5' in copy.golden["thing.made.v2.json"]


def test_the_order_of_imports_does_not_matter(copy: Copy) -> None:
    names = "[event.type for event in contracts.EVENTS]"
    module_first = copy.run("-c", f"import contracts.things; print({names})")
    package_first = copy.run("-c", f"import contracts; print({names})")
    assert module_first.stdout == package_first.stdout != "", module_first.stderr


def test_an_invalid_contract_is_one_line(copy: Copy) -> None:
    copy.things.write_text(THINGS.replace('"processor.things"', '"procesor.things"'))
    done = copy.make_contracts()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "contracts.things: PROCESSOR_THINGS has the queue 'procesor.things', and a queue of this"
        " module is called orders.things or processor.things: mend its name\n"
    )


def test_golden_samples_are_written_into_this_checkout() -> None:
    assert command.GOLDEN == PACKAGE / "tests/golden"
    assert command.ASYNCAPI == CHECKOUT / "docs/asyncapi.yaml"
