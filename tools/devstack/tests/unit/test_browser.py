"""Chromium is installed where that is allowed; elsewhere the run goes on and says what fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_mock import MockerFixture

from devstack.host import browser
from devstack.host.errors import Trouble
from devstack.host.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path, tmp_path / "home")


def test_a_browser_that_is_there_is_left_alone(layout: Layout, mocker: MockerFixture) -> None:
    mocker.patch("shutil.which", return_value="/usr/bin/chromium")
    install = mocker.patch("devstack.host.apt.install")
    browser.install(layout)
    install.assert_not_called()


def test_where_nothing_may_be_installed_it_says_what_to_type(
    layout: Layout, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch("shutil.which", return_value=None)
    mocker.patch("devstack.host.apt.allowed", return_value=False)
    browser.install(layout)
    said = capsys.readouterr()
    assert "tests/browser" in said.out + said.err
    assert "chromium" in said.out + said.err


def test_a_failed_installation_does_not_end_the_run(
    layout: Layout, mocker: MockerFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    mocker.patch("shutil.which", return_value=None)
    mocker.patch("devstack.host.apt.allowed", return_value=True)
    mocker.patch("devstack.host.apt.install", side_effect=Trouble("no network"))
    browser.install(layout)
    said = capsys.readouterr()
    assert "will fail: no network" in said.out + said.err
