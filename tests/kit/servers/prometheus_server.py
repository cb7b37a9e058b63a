"""A Prometheus with the project's rules, whose times are divided so that an alarm takes seconds."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from devstack.host.layout import CHECKOUT
from devstack.host.ports import Ports
from kit.waiting import until

GIVEN = CHECKOUT / "deploy" / "prometheus"
EVERY = "250ms"
"""How often metrics are read and rules evaluated."""
HOLDS, LOOKS_BACK = 3600, 60
"""By what the times are divided for which a condition has to hold, and over which rates count."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_RANGE = re.compile(r"(\[|\boffset )(\d+)([smhd])")
Addresses = Sequence[Mapping[str, Any]]


def program(name: str) -> str:
    """Debian's package has the server and promtool."""
    found = shutil.which(name)
    if found is None:
        pytest.fail(
            f"this test needs {name}: apt-get install --no-install-recommends prometheus"
            " (`make test` does it where it may)",
            pytrace=False,
        )
    return found


def divided(rules: str) -> str:
    """The rules with their times divided."""
    found = yaml.safe_load(rules)
    for rule in (rule for group in found["groups"] for rule in group["rules"]):
        rule["expr"] = _RANGE.sub(_shorter, rule["expr"])
        if "for" in rule:
            rule["for"] = _milliseconds(rule["for"][:-1], rule["for"][-1], HOLDS)
    return str(yaml.safe_dump(found))


def _shorter(found: re.Match[str]) -> str:
    return found[1] + _milliseconds(found[2], found[3], LOOKS_BACK)


def _milliseconds(number: str, unit: str, divisor: int) -> str:
    whole = timedelta(seconds=int(number) * _UNITS[unit]) / divisor
    return f"{max(1, whole // timedelta(milliseconds=1))}ms"


@dataclass(frozen=True)
class Alarm:
    """An alarm that fires."""

    name: str
    labels: Mapping[str, str]
    summary: str


@dataclass(frozen=True)
class PrometheusServer:
    url: str
    folder: Path

    def ask(self, name: str, targets: Addresses) -> None:
        """Ask these targets; the server notices a changed list by itself."""
        fresh = self.folder / f"{name}.new"
        fresh.write_text(json.dumps(targets))
        fresh.replace(self.folder / f"{name}.json")

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def firing(self) -> list[Alarm]:
        return [
            Alarm(one["labels"]["alertname"], one["labels"], one["annotations"]["summary"])
            for one in self.get("alerts")["alerts"]
            if one["state"] == "firing"
        ]

    def query(self, expression: str) -> list[Any]:
        found = self.get("query", query=expression)["result"]
        assert isinstance(found, list)
        return found

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=2).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running_prometheus(
    folder: Path, targets: Mapping[str, Addresses]
) -> Iterator[PrometheusServer]:
    """A server on a free port of loopback that asks these targets, by the name of their list."""
    config = yaml.safe_load((GIVEN / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": EVERY, "evaluation_interval": EVERY}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    (folder / "rules.yml").write_text(divided((GIVEN / "rules.yml").read_text()))
    with Ports(folder) as ports:
        port = ports.choose({"prometheus": None})["prometheus"]
    command = [
        program("prometheus"),
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
        try:
            server = PrometheusServer(f"http://127.0.0.1:{port}", folder)
            for name, addresses in targets.items():
                server.ask(name, addresses)
            assert until(server.is_ready, 60), (folder / "log").read_text()
            yield server
        finally:
            process.terminate()
            process.wait(30)
