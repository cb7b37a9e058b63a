import subprocess
import sys
from pathlib import Path

import pytest

from devstack.host import venv
from devstack.host.console import silent
from devstack.host.layout import Layout
from devstack.host.venv import Venv


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("ERROR: No matching distribution found for aio-pika==10.2.1", "no network"),
        ("WARNING: Retrying after NewConnectionError", "no network"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES", "does not match its hash"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: something else", "pip failed: something else"),
    ],
)
def test_pips_pages_become_one_line(said: str, line: str) -> None:
    text = venv.failure(f"Collecting x\n{said}\n", Path("pip.log"))
    assert line in text
    assert "pip.log" in text


def test_a_venv_copied_from_elsewhere_is_not_current(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    layout.venv.mkdir()
    (layout.venv / "pyvenv.cfg").write_text("command = python3 -m venv /elsewhere/venv\n")
    assert not Venv(layout, silent).is_current()


def test_a_venv_whose_python_moved_to_another_version_is_not_current(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path / ".local")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", layout.venv], check=True)
    made = Venv(layout, silent)
    assert made.is_usable()
    config = layout.venv / "pyvenv.cfg"
    current = f"version = {sys.version_info.major}.{sys.version_info.minor}."
    assert current in config.read_text()
    config.write_text(config.read_text().replace(current, "version = 3.2."))
    assert not made.is_usable()
