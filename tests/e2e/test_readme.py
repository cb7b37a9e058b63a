"""The README's commands do what stands below them: the same shape, with other figures.

Beneath "Try it" and "Break it" each `$` line is run as it stands, but for addresses, pids and ids,
which are this system's, and what it prints is compared with the lines up to the next one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from devstack.commands import outbox_command
from devstack.native.services import SERVICES
from devstack.native.stack import Native
from devstack.native.system import CHECKOUT, System
from kit.services.booking_client import Diner

pytestmark = pytest.mark.e2e

README = (CHECKOUT / "README.md").read_text()
WITHIN = 30.0
ASSIGNMENT = re.compile(r"[A-Z]+=(\$\(.*\)|'[^']*')")
ID = re.compile(r'"id":"?([^",]+)')
PIDS = re.compile(r"^(\S+) +RUNNING +([0-9]+)", re.MULTILINE)
FIGURES = {
    "…": ".*",
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}": "[0-9a-f-]{36}",
    r'"[A-Z]+(?:_[A-Z]+)*"': '"[A-Z_]+"',
    r"[0-9]+": "[0-9]+",
    r"null": '(?:null|[0-9]+|"[^"]*")',
    r"streams?": "streams?",
    r" +": " +",
}
"""What stands for others of its kind: a left out part, an id, a status, a number, a reason."""


def steps(section: str) -> Iterator[tuple[str, list[str]]]:
    """Each command below a heading, with the lines that are said to follow."""
    text = README.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    for block in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        first, *others = re.split(r"^\$ ", block, flags=re.MULTILINE)
        assert not first, f"{first!r} is an answer to nothing"
        for one in others:
            command, *lines = one.splitlines()
            yield command, [line for line in lines if line]


def shape(line: str) -> re.Pattern[str]:
    """A pattern for lines like this one."""
    figures = re.compile("|".join(f"({figure})" for figure in FIGURES))
    pattern, end = "", 0
    for match in figures.finditer(line):
        pattern += re.escape(line[end : match.start()])
        pattern += list(FIGURES.values())[(match.lastindex or 1) - 1]
        end = match.end()
    return re.compile(pattern + re.escape(line[end:]))


def alike(shown: list[str], found: list[str]) -> bool:
    """Each line shown has one like it, and without a line of dots there are no others."""
    shapes = [shape(line) for line in shown if line != "…"]
    matched = [[bool(one.fullmatch(line.rstrip())) for one in shapes] for line in found]
    all_shown = all(any(row[i] for row in matched) for i in range(len(shapes)))
    return all_shown and ("…" in shown or all(any(row) for row in matched))


@dataclass
class Reader:
    """Somebody who pastes one command after the other, with the ids of the answers."""

    system: System
    capfd: pytest.CaptureFixture[str]
    restaurant: int
    assigned: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    def follow(self, section: str) -> None:
        assert len(list(steps(section))) > 4
        for command, shown in steps(section):
            if ASSIGNMENT.fullmatch(command):
                self.assigned.append(self.here(command))
                continue
            found = self.answer(command, shown)
            assert alike(shown, found), "\n".join([command, *shown, "but found:", *found])
            self.remember(shown, found)

    def answer(self, command: str, shown: list[str]) -> list[str]:
        """What is printed; who only asks asks again until it is as shown, or for too long."""
        deadline = time.monotonic() + WITHIN
        found = self.run(self.here(command))
        while not alike(shown, found) and only_asks(command) and time.monotonic() < deadline:
            found = self.run(self.here(command))
        return found

    def here(self, command: str) -> str:
        """The command with the places and ids of this system."""
        for service, port in (("orders", "8000"), ("processor", "8001")):
            address = self.system.urls[service].removeprefix("http://")
            command = command.replace(f"localhost:{port}", address)
        command = command.replace('"restaurant_id":1,', f'"restaurant_id":{self.restaurant},')
        for shown, found in self.ids.items():
            command = re.sub(rf"(?<=[/ ]){re.escape(shown)}(?=[/?;' ]|$)", found, command)
        pids = re.findall(r"kill -9 ([0-9]+)", command)
        assert set(pids) <= set(self.ids.values()), "whose process is that?"
        return command

    def run(self, command: str) -> list[str]:
        if command.startswith("make "):
            return self.make(*shlex.split(command)[1:])
        script = "\n".join([*self.assigned, command])
        bash = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120
        )
        return bash.stdout.splitlines()

    def make(self, target: str, *variables: str) -> list[str]:
        """What the Makefile has these targets do, with this system for that of `make start`."""
        told = dict(variable.split("=", 1) for variable in variables)
        native = Native(self.system.layout, os.environ)
        self.capfd.readouterr()
        if target == "status":
            native.status()
        else:
            assert target == "outbox"
            [service] = [one for one in SERVICES if one.name == told["SERVICE"]]
            outbox_command.run(native, service, told["ARGS"])
        return self.capfd.readouterr().out.splitlines()

    def remember(self, shown: list[str], found: list[str]) -> None:
        """Which id here is the one that stands there; of processes their pids."""
        there, here = "\n".join(shown), "\n".join(found)
        if (old := ID.search(there)) and (new := ID.search(here)):
            self.ids[old[1]] = new[1]
        pids = dict(PIDS.findall(here))
        self.ids |= {pid: pids[name] for name, pid in PIDS.findall(there)}


def only_asks(command: str) -> bool:
    return "-X" not in command and " -d " not in command


@pytest.fixture
def reader(system: System, diner: Diner, capfd: pytest.CaptureFixture[str]) -> Reader:
    restaurant, _ = diner.open_restaurant(2)
    return Reader(system, capfd, restaurant)


@pytest.mark.parametrize("section", ["Try it", "Break it"])
def test_the_commands_of_the_readme_do_what_it_shows(reader: Reader, section: str) -> None:
    reader.follow(section)
    reader.system.wait_ready()


def test_another_shape_is_seen() -> None:
    assert alike(['{"id":7,"status":"CREATED"}'], ['{"id":12,"status":"COMPLETED"}'])
    assert not alike(['{"id":7,"status":"CREATED"}'], ['{"id":7,"state":"CREATED"}'])
    assert not alike(["50 201"], ["49 201", "1 refused"])
    assert not alike(["50 201"], [])
