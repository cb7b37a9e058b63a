from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from devstack.commands import clean, stack_choice
from devstack.docker.stack import Docker
from devstack.host.layout import Layout
from devstack.host.locking import exclusive
from kit.servers.fake_docker import FakeDocker

AGREED = {**os.environ, "YES": "1"}


@pytest.fixture
def gone(checkout: Layout) -> Layout:
    """Docker was used, a test run was killed, and then it was native."""
    for name in ("docker", "docker-test-123"):
        (checkout.home / name).mkdir(parents=True)
    stack_choice.keep(checkout, stack_choice.NATIVE)
    return checkout


def test_the_volumes_of_every_project_go_whatever_ran_last(
    gone: Layout, fake_docker: FakeDocker
) -> None:
    clean.run(gone, {**AGREED, "PATH": os.environ["PATH"]})
    downs = [call for call in fake_docker.calls if call.words[0] == "down"]
    own = Docker(gone, {}).project
    assert {call.project for call in downs} == {own, f"{own}-test-123"}
    assert all("--volumes" in call.words for call in downs)
    assert not gone.home.exists()


def test_volumes_that_cannot_go_are_named(
    gone: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean.run(gone, {**AGREED, "PATH": str(tmp_path)})
    assert f"{Docker(gone, {}).project}: its volumes may be left" in capsys.readouterr().out
    assert not gone.home.exists()


def test_it_waits_for_the_command_at_work(checkout: Layout) -> None:
    cleaning = threading.Thread(target=clean.run, args=(checkout, AGREED))
    with exclusive(checkout):
        cleaning.start()
        cleaning.join(0.3)
        assert checkout.home.exists()
    cleaning.join(30)
    assert not checkout.home.exists()


def test_a_command_that_waited_for_it_begins_with_a_folder_of_its_own(checkout: Layout) -> None:
    held: list[bool] = []

    def start() -> None:
        with exclusive(checkout):
            held.append((checkout.home / "lock").exists())

    with exclusive(checkout):
        waiting = threading.Thread(target=start)
        waiting.start()
        waiting.join(0.3)
        clean.remove(checkout.home)
    waiting.join(30)
    assert held == [True]
