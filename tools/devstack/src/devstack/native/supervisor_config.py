"""The programs under supervisor, and the two files that describe them.

`supervisord.conf` holds names only; commands and environments are in `run/programs.json`, read
by `exec_wrapper.py` at every (re)start: no quoting rules, no secrets in a process list, and paths
of any length, because supervisor works inside the system's folder. The latter ends with the system.
"""

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from devstack.host.layout import Layout, put_private
from devstack.native import exec_wrapper


@dataclass(frozen=True)
class Program:
    """One supervised process. `first` names the step that exec_wrapper.py takes before it runs."""

    name: str
    argv: list[str]
    env: Mapping[str, str]
    folder: Path
    first: str = ""
    stop_signal: str = "TERM"
    stop_seconds: int = 15
    needs: Mapping[str, str] = field(default_factory=dict)


def _section(program: Program, layout: Layout) -> str:
    command = shlex.join([str(layout.python), "-S", exec_wrapper.__file__, program.name])
    settings = {
        "command": command.replace("%", "%%"),
        "autostart": "false",
        "autorestart": "true",
        # exec_wrapper.py slows down a process that keeps dying; supervisor never gives it up.
        "startsecs": "0",
        "stopsignal": program.stop_signal,
        "stopwaitsecs": str(program.stop_seconds),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"log/{program.name}.log",
        "stdout_logfile_maxbytes": "5MB",
        "stdout_logfile_backups": "2",
    }
    return _ini(f"program:{program.name}", settings)


def _ini(section: str, settings: Mapping[str, str]) -> str:
    return "\n".join([f"[{section}]", *(f"{key}={value}" for key, value in settings.items()), ""])


def supervisor_config(programs: Iterable[Program], layout: Layout) -> str:
    """The socket is reached through /proc/self/cwd, so that 108 bytes suffice everywhere."""
    daemon = {
        "logfile": "log/supervisord.log",
        "logfile_maxbytes": "1MB",
        "logfile_backups": "1",
        "pidfile": "run/supervisord.pid",
        "nodaemon": "true",
        "minfds": "256",
        "minprocs": "64",
    }
    if os.geteuid() == 0:
        daemon["user"] = "root"
    factory = "supervisor.rpcinterface:make_main_rpcinterface"
    parts = [
        _ini("supervisord", daemon),
        _ini("unix_http_server", {"file": "/proc/self/cwd/run/s.sock", "chmod": "0700"}),
        _ini("rpcinterface:supervisor", {"supervisor.rpcinterface_factory": factory}),
        *(_section(program, layout) for program in programs),
    ]
    return "\n".join(parts)


def write(programs: Iterable[Program], layout: Layout) -> None:
    listed = list(programs)
    described = {program.name: asdict(program) for program in listed}
    text = json.dumps(described, indent=1, default=str)
    put_private(layout.run / "programs.json", text)
    put_private(layout.home / "supervisord.conf", supervisor_config(listed, layout))


def forget(layout: Layout) -> None:
    (layout.run / "programs.json").unlink(missing_ok=True)
