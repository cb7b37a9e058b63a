"""Chromium for the tests that use the console in a browser. Without it only these fail."""

import shutil

from devstack.host import apt
from devstack.host.console import say
from devstack.host.layout import Layout

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PACKAGES = ["chromium", "fonts-dejavu-core"]


def is_there() -> bool:
    return any(shutil.which(name) for name in PROGRAMS)


def install(layout: Layout) -> None:
    """Install it where that is allowed; else say which tests fail, and what to type."""
    if not is_there() and (lack := apt.lack_after_trying(layout, PACKAGES, say)):
        say(f"tests in a browser (tests/browser) will fail: {lack}")
