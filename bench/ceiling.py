"""The ceiling: the fastest publisher that can be had, without a database behind it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bench import ready_frames
from bench.environment import EXCHANGE, Environment
from bench.events import TYPE, aggregate_id, payload
from bench.messages import EVENT_ID, properties
from bench.ready_frames import Published

SOURCE_FILE = Path(__file__).with_name("ceiling.c")
WINDOW = 1_000
BOUND = 180
NOW = datetime(2026, 1, 1, 12, 0, 0, 123456, UTC)


@dataclass(frozen=True)
class Ceiling:
    """A publisher by the name of what it is."""

    name: str
    publish: Callable[[Environment, int], Published]


def best_ceiling(folder: Path) -> Ceiling:
    """The C publisher where it compiles, else ready frames; nothing is installed."""
    program = folder / "ceiling"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler:
        command = [compiler, "-O2", "-o", str(program), str(SOURCE_FILE), "-lrabbitmq"]
        compiled = subprocess.run(command, capture_output=True, check=False, timeout=60)
        if compiled.returncode == 0:
            return Ceiling(
                "C client", lambda environment, count: _by_c(program, environment, count)
            )
    return Ceiling("ready frames, no database", _by_ready_frames)


def _by_c(program: Path, environment: Environment, count: int) -> Published:
    to = urlsplit(environment.broker_url)
    where = [to.hostname, str(to.port), to.username, to.password, unquote(to.path[1:])]
    command = [str(program), *map(str, where), EXCHANGE, TYPE, str(count), str(WINDOW)]
    done = subprocess.run(
        command, input=_template(), capture_output=True, text=True, check=False, timeout=BOUND
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return Published(**json.loads(done.stdout))


def _template() -> str:
    """One message, in the words that the C program reads."""
    given = _properties(0)
    headers = given.pop("headers")
    given["timestamp"] = int(given["timestamp"].timestamp())
    given["delivery_mode"] = int(given["delivery_mode"])
    lines = [f"property {name} {value}" for name, value in given.items()]
    for name, value in headers.items():
        lines.append(f"{'number' if isinstance(value, int) else 'header'} {name} {value}")
    return "\n".join([*lines, f"body {payload(0).decode()}", ""])


def _by_ready_frames(environment: Environment, count: int) -> Published:
    return ready_frames.publish(
        environment.broker_url,
        [ready_frames.frames_of(EXCHANGE, TYPE, _properties(n), payload(n)) for n in range(count)],
    )


def _properties(number: int) -> dict[str, Any]:
    return properties(EVENT_ID.format(number), aggregate_id(number), number + 1, NOW)
