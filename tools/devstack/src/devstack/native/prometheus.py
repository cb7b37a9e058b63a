"""Prometheus, if it is asked for: it scrapes what the system exports and keeps the alarms.

Configuration and rules are those of `deploy/prometheus`; only the addresses are the system's own.
"""

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence

from devstack.host import environment
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.waiting import until
from devstack.native import services
from devstack.native.services import ROLES, SERVICES, program_name
from devstack.native.supervisor_config import Program

NAME = "prometheus"
"""The name of the process, its port, its URL and its Debian package."""
PORT, PORT_VARIABLE = 9090, "PROMETHEUS_PORT"
VARIABLE = "OBSERVE"
_KEPT = "7d"

Targets = Mapping[str, Sequence[Mapping[str, object]]]
"""By the name of its file, each list of addresses with their labels (`file_sd_configs`)."""


def is_wanted(env: Mapping[str, str]) -> bool:
    given = env.get(VARIABLE, "").strip()
    if given not in ("", "0", "1"):
        raise Trouble(f"{VARIABLE}={given} is neither 1 nor 0", status=2)
    return given == "1"


def insisted_port(env: Mapping[str, str]) -> int | None:
    """The port that the user has set."""
    return environment.number(env, PORT_VARIABLE, PORT) if env.get(PORT_VARIABLE) else None


def find_server() -> str | None:
    return shutil.which(NAME)


def version() -> str:
    done = subprocess.run([NAME, "--version"], capture_output=True, text=True, check=False)
    words = (done.stdout or done.stderr).split()
    return words[words.index("version") + 1] if "version" in words else "?"


def targets(ports: Mapping[str, int], env: Mapping[str, str], *, broker: bool) -> Targets:
    """The addresses of what this system runs."""
    host = services.reachable_host(env)
    processes = [
        {
            "targets": [f"{host}:{ports[program_name(service, role)]}"],
            "labels": {"service": service.name, "role": role},
        }
        for service in SERVICES
        for role in ROLES
    ]
    rabbitmq = [{"targets": [f"127.0.0.1:{ports['rabbitmq-metrics']}"]}] if broker else []
    return {"services": processes, "rabbitmq": rabbitmq}


class Prometheus:
    """One server with its own data folder, on a port of 127.0.0.1."""

    def __init__(self, layout: Layout, server: str, port: int, targets: Targets) -> None:
        self._layout = layout
        self._server = server
        self._port = port
        self._targets = targets
        self._home = layout.home / NAME

    def prepare(self) -> None:
        """Put the configuration into the system's folder, beside the addresses."""
        self._home.mkdir(mode=0o700, exist_ok=True)
        given = self._layout.checkout / "deploy" / "prometheus"
        for name in ("prometheus.yml", "rules.yml"):
            shutil.copyfile(given / name, self._home / name)
        for name, addresses in self._targets.items():
            (self._home / f"{name}.json").write_text(json.dumps(addresses, indent=1))

    def program(self, env: Mapping[str, str]) -> Program:
        options = (
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--storage.tsdb.retention.time={_KEPT}",
            f"--web.listen-address=127.0.0.1:{self._port}",
            "--log.level=warn",
        )
        return Program(NAME, [self._server, *options], env, self._home)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def wait(self, seconds: float = 60) -> None:
        if not until(self.is_ready, seconds, pause=0.1):
            raise Trouble(
                f"Prometheus did not get ready in {seconds:.0f} s: see {self._layout.log_of(NAME)}"
            )
