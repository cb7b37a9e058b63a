"""A RabbitMQ node with its own name, cookie, epmd, ports and users, all on 127.0.0.1.

One file, because users, settings and ports describe one node.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from devstack.host.errors import Trouble
from devstack.host.layout import Layout, fingerprint, put_private
from devstack.host.waiting import until
from devstack.native.supervisor_config import Program

NAME, EPMD = "rabbitmq", "epmd"
PLUGINS = "management", "stream", "prometheus", "consistent_hash_exchange"
PREFERRED: dict[str, int | None] = {
    "amqp": 5672,
    "management": 15672,
    "stream": 5552,
    "rabbitmq-metrics": 15692,
    "distribution": 25672,
    "epmd": 4370,
}
_PLACES = (
    "/usr/lib/rabbitmq/bin",
    "/usr/lib/rabbitmq/lib/*/sbin",
    "/opt/rabbitmq*/sbin",
    "/usr/local/lib/rabbitmq/sbin",
    "/usr/local/rabbitmq/sbin",
)
ADMIN, ADMIN_PASSWORD = "admin", "admin-dev-only"
MONITOR, MONITOR_PASSWORD = "console", "console-dev-only"
"""The console's: reads the management API, and moves dead letters back to their queues."""
# Both declare all of it. Whoever makes a queue with a dead-letter exchange must be allowed to read
# it (RabbitMQ, "Dead Letter Exchanges"); dead letters are read by the service they belong to only.
_DECLARED = r"^(orders|processor)(\..*)?$|^(dead|audit|beacons)$"
_READ = {
    "orders": r"^(orders(\..*)?|processor(\..*)?(?<!\.dead)(?<!\.unrouted)|dead|beacons)$",
    "processor": r"^(processor(\..*)?|orders(\..*)?(?<!\.dead)(?<!\.unrouted)|dead|audit|beacons)$",
}
_WRITTEN = {
    "orders": r"^(?!processor\.published$)(orders|dead|audit|beacons|(orders|processor)\..*)$",
    "processor": r"^(?!orders\.published$)(processor|dead|audit|beacons|(orders|processor)\..*)$",
}
_SERVICES = ("orders", "processor")


def find_server() -> Path | None:
    """The script that runs as whoever calls it; on PATH Debian has a wrapper that switches user."""
    for place in _PLACES:
        for folder in sorted(Path("/").glob(place[1:]), reverse=True):
            if (folder / "rabbitmq-server").exists():
                return folder / "rabbitmq-server"
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path) if on_path and "script-wrapper" not in _head(on_path) else None


def _head(script: str) -> str:
    resolved = Path(script).resolve()
    return resolved.name + resolved.read_text(errors="replace")[:2000]


def _find_epmd() -> str:
    found = shutil.which("epmd") or next(
        (
            str(path)
            for root in ("usr/lib", "usr/local/lib", "opt")
            for path in Path("/", root).glob("erlang/erts-*/bin/epmd")
        ),
        None,
    )
    if not found:
        raise Trouble("epmd is missing (it comes with Erlang): reinstall rabbitmq-server")
    return found


def hashed(password: str, salt: bytes) -> str:
    """RabbitMQ's password_hash: base64 of salt and SHA-256 over salt and password."""
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _user(name: str, password: str, *tags: str) -> dict[str, object]:
    return {
        "name": name,
        "password_hash": hashed(password, secrets.token_bytes(4)),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": list(tags),
    }


def _rights(user: str, configure: str, write: str, read: str) -> dict[str, str]:
    return {"user": user, "vhost": "/", "configure": configure, "write": write, "read": read}


def definitions(password: Callable[[str], str] = "{}-dev-only".format) -> dict[str, object]:
    """Users and rights that are loaded at boot. With them RabbitMQ makes no guest user."""
    services = [_user(name, password(name)) for name in _SERVICES]
    rights = [_rights(name, _DECLARED, _WRITTEN[name], _READ[name]) for name in _SERVICES]
    return {
        "vhosts": [{"name": "/"}],
        "users": [
            _user(ADMIN, password(ADMIN), "administrator", "impersonator"),
            *services,
            _user(MONITOR, password(MONITOR), "monitoring", "impersonator"),
        ],
        "permissions": [
            _rights(ADMIN, ".*", ".*", ".*"),
            *rights,
            _rights(MONITOR, "^$", r"^amq\.default$", r"\.dead$"),
        ],
    }


def speaks_amqp(port: int) -> bool:
    """A protocol header is answered by Connection.Start: a method frame, type 1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as wire:
            wire.sendall(b"AMQP\x00\x00\x09\x01")
            return wire.recv(1) == b"\x01"
    except OSError:
        return False


def version(management_url: str, password: str = ADMIN_PASSWORD) -> str:
    """The version from the management API; empty while it does not answer."""
    login = base64.b64encode(f"{ADMIN}:{password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310
        f"{management_url}/api/overview", headers={"Authorization": f"Basic {login}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
            return str(json.load(answer)["rabbitmq_version"])
    except (OSError, ValueError, KeyError):
        return ""


class RabbitMQ:
    def __init__(self, layout: Layout, server: Path, ports: Mapping[str, int]) -> None:
        self._layout = layout
        self._server = server
        self._ports = ports
        self._home = layout.home / "rabbitmq"

    @property
    def node(self) -> str:
        return f"rabbit-{fingerprint(self._layout.home)}@localhost"

    def prepare(self) -> None:
        self._home.mkdir(mode=0o700, exist_ok=True)
        cookie = self._home / ".erlang.cookie"
        if not cookie.exists():
            put_private(cookie, secrets.token_hex(20))
            cookie.chmod(0o400)
        plugins = ",".join(f"rabbitmq_{plugin}" for plugin in PLUGINS)
        (self._home / "enabled_plugins").write_text(f"[{plugins}].\n")
        put_private(self._home / "definitions.json", json.dumps(definitions(), indent=1))
        (self._home / "rabbitmq.conf").write_text(self.settings())
        (self._home / "advanced.config").write_text(self._advanced())

    def settings(self) -> str:
        return (
            f"listeners.tcp.1 = 127.0.0.1:{self._ports['amqp']}\n"
            "management.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {self._ports['management']}\n"
            "prometheus.tcp.ip = 127.0.0.1\n"
            f"prometheus.tcp.port = {self._ports['rabbitmq-metrics']}\n"
            f"stream.listeners.tcp.1 = 127.0.0.1:{self._ports['stream']}\n"
            "log.console = true\nlog.console.level = info\nlog.file = false\n"
        )

    def _advanced(self) -> str:
        """The one setting with a path in it, as an Erlang string: any character is safe."""
        path = str(self._home / "definitions.json").replace("\\", "\\\\").replace('"', '\\"')
        return f'[{{rabbit, [{{load_definitions, "{path}"}}]}}].\n'

    def _env(self) -> dict[str, str]:
        home = str(self._home)
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "HOME": home,
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_CRASH_DUMP": str(self._layout.logs / "erl_crash.dump"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_PORT": str(self._ports["amqp"]),
            "RABBITMQ_DIST_PORT": str(self._ports["distribution"]),
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
            "RABBITMQ_LOG_BASE": str(self._layout.logs),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{home}/plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
            "+sbwt none +sbwtdcpu none +sbwtdio none",
            # Makes the script become beam instead of waiting for it: a signal meets beam itself.
            "detached": "1",
        }

    def programs(self) -> list[Program]:
        """The node, and its own epmd in the foreground, so that it ends with the system."""
        epmd = [_find_epmd(), "-port", str(self._ports["epmd"]), "-address", "127.0.0.1"]
        needs = {EPMD: str(self._ports["epmd"])}
        return [
            Program(EPMD, epmd, self._env(), self._layout.home),
            Program(
                NAME,
                [str(self._server)],
                self._env(),
                self._layout.home,
                first="rabbitmq",
                stop_seconds=25,
                needs=needs,
            ),
        ]

    def control(self, *arguments: str) -> str:
        """The output of `rabbitmqctl`, which comes with the server."""
        command = [str(self._server.with_name("rabbitmqctl")), "--quiet", *arguments]
        return subprocess.run(
            command, env=self._env(), capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def url(self, user: str, password: str) -> str:
        return f"amqp://{user}:{password}@127.0.0.1:{self._ports['amqp']}/%2F"

    @property
    def admin_url(self) -> str:
        return self.url(ADMIN, ADMIN_PASSWORD)

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self._ports['management']}"

    def is_ready(self) -> bool:
        return speaks_amqp(self._ports["amqp"])

    def wait(self, seconds: float = 90) -> None:
        if not until(self.is_ready, seconds, pause=0.1):
            raise Trouble(
                f"RabbitMQ did not get ready in {seconds:.0f} s: see {self._layout.log_of(NAME)}"
            )

    def wait_management(self, seconds: float = 60) -> None:
        if not until(lambda: version(self.management_url) != "", seconds, pause=0.1):
            raise Trouble(
                f"RabbitMQ's management did not answer within {seconds:.0f} s: "
                f"see {self._layout.log_of(NAME)}"
            )
