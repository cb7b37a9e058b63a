import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devstack.host import apt


def test_autostart_is_forbidden_only_meanwhile(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with apt.no_autostart(policy):
        assert "exit 101" in policy.read_text()
        assert os.access(policy, os.X_OK)
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_was_there_comes_back(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    with apt.no_autostart(policy):
        assert policy.read_text() != "mine"
    assert policy.read_text() == "mine"


def test_a_policy_left_aside_by_a_killed_run_comes_back(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("of the killed run")
    (tmp_path / "policy-rc.d.before-devstack").write_text("mine")
    with apt.no_autostart(policy):
        pass
    assert policy.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [policy]


def _killed_in_between(policy: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from devstack.host import apt;"
        "held = apt.no_autostart(Path(sys.argv[1])); held.__enter__(); os.kill(os.getpid(), 9)"
    )
    source = str(Path(apt.__file__).parents[2])
    command = [sys.executable, "-c", script, str(policy)]
    killed = subprocess.run(command, env={"PYTHONPATH": source}, check=False)
    assert killed.returncode == -9
    assert "exit 101" in policy.read_text()


def test_the_policy_of_a_killed_run_is_nobodys_own(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    _killed_in_between(policy)
    with apt.no_autostart(policy):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_installs_nothing_lifts_it_too(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    _killed_in_between(policy)
    apt.lift_leftover(policy)
    assert policy.read_text() == "mine"
    apt.lift_leftover(policy)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


def test_the_policy_of_a_run_at_work_is_no_leftover(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with apt.no_autostart(policy):
        apt.lift_leftover(policy)
        assert "exit 101" in policy.read_text()


def test_two_installations_at_once_take_turns(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("mine")
    inside: list[int] = []

    def install(number: int) -> None:
        with apt.no_autostart(policy):
            inside.append(number)
            assert len(inside) == 1
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(install, range(50)))
    assert policy.read_text() == "mine"
