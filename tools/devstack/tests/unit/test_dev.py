from pathlib import Path

from devstack.commands import dev
from devstack.native.services import ORDERS, PROCESSOR


def test_new_changed_and_removed_files_are_changes() -> None:
    before = {Path("a"): 1, Path("b"): 1, Path("c"): 1}
    after = {Path("a"): 1, Path("b"): 2, Path("d"): 1}
    assert dev.changed(before, after) == {Path("b"), Path("c"), Path("d")}


def test_a_library_is_everybodys_and_a_service_only_its_own() -> None:
    root = Path("/checkout")
    assert dev.touched([root / "libs/outbox/src/x.py"], root) == [ORDERS, PROCESSOR]
    assert dev.touched([root / "service-processor/src/x.py"], root) == [PROCESSOR]
