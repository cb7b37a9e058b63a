"""The images that the Docker stack needs and does not build itself."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from devstack.host.console import say
from devstack.native import prometheus

ANSWER, PULL = 5.0, 600.0  # seconds
_IMAGE = re.compile(r"^\s*image:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
_BLOCK = re.compile(r"^(?=  \w)", re.MULTILINE)
"""Where a service begins in a compose file."""
_VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]+)\}")
_FROM = re.compile(r"^FROM\s+(?:--\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?", re.MULTILINE | re.IGNORECASE)


def needed(checkout: Path, file: str, env: Mapping[str, str]) -> list[str]:
    """The images that the compose file and the Dockerfiles start from, not those that are built."""
    started = _started((checkout / file).read_text(), env)
    named = {_chosen(image, env) for image in _IMAGE.findall(started)}
    built: set[str] = set()
    files = [*checkout.glob("service-*/Dockerfile"), *checkout.glob("deploy/*/Dockerfile")]
    for dockerfile in files:
        stages = _FROM.findall(dockerfile.read_text())
        built |= {image for image, _ in stages} - {name for _, name in stages}
    return sorted(i for i in named | built if "$" not in i and not _is_own(i))


def _started(compose: str, env: Mapping[str, str]) -> str:
    """The file without the services of the profile `observe`, unless they are asked for."""
    is_observed = prometheus.is_wanted(env)
    blocks = _BLOCK.split(compose)
    return "".join(block for block in blocks if is_observed or "\n    profiles:" not in block)


def _chosen(image: str, env: Mapping[str, str]) -> str:
    """`${POSTGRES_IMAGE:-postgres:17}` is the variable's value, else the default."""
    found = _VARIABLE.fullmatch(image)
    return (env.get(found[1]) or found[2]) if found else image


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
    """Whether the image is built here, so that it cannot be pulled."""
    return image.startswith(("service-", "outbox-"))
