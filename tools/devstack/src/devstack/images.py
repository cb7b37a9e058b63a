"""The images that the Docker stack needs and does not build itself."""

import re
import subprocess
from pathlib import Path

from devstack.console import say

ANSWER, PULL = 5.0, 600.0  # seconds
_IMAGE = re.compile(r"^\s*image:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.MULTILINE | re.IGNORECASE)


def needed(checkout: Path, file: str) -> list[str]:
    """What the compose file runs and the Dockerfiles build on, not what they build."""
    named = {image for image in _IMAGE.findall((checkout / file).read_text()) if "$" not in image}
    built: set[str] = set()
    for dockerfile in checkout.glob("service-*/Dockerfile"):
        stages = _FROM.findall(dockerfile.read_text())
        built |= {image for image, _ in stages} - {name for _, name in stages}
    return sorted({*(i for i in named if not _is_own(i)), *(i for i in built if "$" not in i)})


def can_be_had(image: str) -> bool:
    if succeeds(["docker", "image", "inspect", image], ANSWER):
        return True
    say(f"pulling {image}")
    return succeeds(["docker", "pull", "--quiet", image], PULL)


def succeeds(command: list[str], seconds: float = ANSWER) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=seconds)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _is_own(image: str) -> bool:
    """Built here, so it cannot be pulled."""
    return image.startswith(("service-", "outbox-"))
