import os
import time
from pathlib import Path

from devstack.native import exec_wrapper

_HEAD = "       key      shmid perms size  cpid  lpid nattch uid\n"


def _data(tmp_path: Path) -> Path:
    lines = ["1", str(tmp_path), "0", "5432", "", "127.0.0.1", "  1234    77", "ready"]
    (tmp_path / "postmaster.pid").write_text("\n".join(lines))
    return tmp_path


def test_old_backends_are_seen_by_their_shared_memory(tmp_path: Path) -> None:
    table = tmp_path / "shm"
    table.write_text(_HEAD + "1234 77 600 56 9 9 3 0\n")
    assert exec_wrapper.segment_attached(_data(tmp_path), table)
    table.write_text(_HEAD + "1234 77 600 56 9 9 0 0\n5678 78 600 56 9 9 3 0\n")
    assert not exec_wrapper.segment_attached(_data(tmp_path), table)


def test_a_folder_without_postmaster_has_no_old_backends(tmp_path: Path) -> None:
    assert not exec_wrapper.segment_attached(tmp_path)


def test_only_a_program_that_lived_shortly_is_braked(tmp_path: Path) -> None:
    record = tmp_path / "x.pid"
    assert exec_wrapper.brake(record) == 0
    record.touch()
    assert exec_wrapper.brake(record) == exec_wrapper.BRAKE
    long_ago = time.time() - 60
    os.utime(record, (long_ago, long_ago))
    assert exec_wrapper.brake(record) == 0
