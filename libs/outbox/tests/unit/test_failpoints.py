"""Every step where a test can kill a process is listed, and every listed step is in the code."""

from __future__ import annotations

import re
from pathlib import Path

import outbox
from outbox import failpoints


def test_the_steps_are_those_in_the_code() -> None:
    code = "".join(path.read_text() for path in Path(outbox.__file__).parent.rglob("*.py"))
    listed = {
        step for name, steps in vars(failpoints).items() if name.endswith("STEPS") for step in steps
    }
    assert set(re.findall(r'hit\("([\w.]+)"\)', code)) == listed
