"""Talks to the system's own supervisord over its socket, and starts and ends it."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import xmlrpc.client
from pathlib import Path
from typing import Any

from devstack.host import processes
from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.host.processes import MARK, Process
from devstack.host.waiting import until

_BAD_NAME, _NOT_RUNNING, _ALREADY_STARTED = 10, 70, 60  # supervisor.xmlrpc.Faults
PR_SET_PDEATHSIG = 1


class _Connection(http.client.HTTPConnection):
    """Reaches the socket through an open folder, because its path may exceed 108 bytes."""

    def __init__(self, home: Path) -> None:
        super().__init__("localhost", timeout=30)
        self._home = home

    def connect(self) -> None:
        folder = os.open(self._home / "run", os.O_PATH | os.O_DIRECTORY)
        wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            wire.settimeout(self.timeout)
            wire.connect(f"/proc/self/fd/{folder}/s.sock")
        except OSError:
            wire.close()
            raise
        finally:
            os.close(folder)
        self.sock = wire


class _Transport(xmlrpc.client.Transport):
    def __init__(self, home: Path) -> None:
        super().__init__()
        self._home = home

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _Connection(self._home)
        self._connection = host, connection  # where the base class looks when it closes
        return connection


class Supervisor:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def _call(self, method: str, *arguments: object) -> Any:
        """Each call has its own connection, so any thread may call."""
        transport = _Transport(self._layout.home)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def answers(self) -> bool:
        if not (self._layout.run / "s.sock").exists():
            return False
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
            return bool(self._call("getState")["statename"] == "RUNNING")
        return False

    def launch(self, *, tied: bool) -> None:
        """Start supervisord; `tied` ends it, and so the system, with the calling process."""
        command: list[str | Path] = [
            self._layout.python,
            "-m",
            "supervisor.supervisord",
            "-n",
            "-s",
        ]
        with (self._layout.logs / "supervisord.out").open("wb") as out:
            child = subprocess.Popen(
                [*command, "-c", "supervisord.conf"],
                cwd=self._layout.home,
                env={**bare(), MARK: str(self._layout.home)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=_die_with_parent if tied else None,  # noqa: PLW1509
            )
        if not until(lambda: self.answers() or child.poll() is not None, 20) or child.poll():
            raise Trouble(f"supervisord did not start: see {self._layout.logs}/supervisord.out")
        child.returncode = 0  # it outlives this command; no "still running" warning

    def process(self) -> Process | None:
        try:
            pid = int((self._layout.run / "supervisord.pid").read_text())
        except (OSError, ValueError):
            return None
        found = processes.identify(pid)
        is_ours = found in processes.belonging_to(self._layout.home)
        return found if is_ours else None

    def states(self) -> dict[str, dict[str, Any]]:
        """By program: supervisor's process info (`statename`, `pid`, `start`, `exitstatus`)."""
        return {info["name"]: info for info in self._call("getAllProcessInfo")}

    def pid_of(self, name: str) -> int:
        """The pid, 0 while the program is not running."""
        return int(self._call("getProcessInfo", name)["pid"])

    def start(self, name: str) -> None:
        self._call_unless_done("startProcess", name, _ALREADY_STARTED)

    def stop(self, name: str) -> None:
        """Ask the program to end, and return at once."""
        self._call_unless_done("stopProcess", name, _NOT_RUNNING)

    def _call_unless_done(self, method: str, name: str, harmless: int) -> None:
        try:
            self._call(method, name, False)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _BAD_NAME:
                raise Trouble(f"no process is called {name}", status=2) from fault
            if fault.faultCode != harmless:
                raise Trouble(f"supervisor cannot {method} {name}: {fault.faultString}") from fault

    def stop_and_wait(self, names: list[str], seconds: float) -> None:
        """End these at the same time; supervisor kills what exceeds its limit."""
        for name in names:
            self.stop(name)
        ended = {"STOPPED", "EXITED", "FATAL"}
        until(lambda: all(self.states()[n]["statename"] in ended for n in names), seconds)

    def shutdown(self, seconds: float = 60) -> None:
        own = self.process()
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
            self._call("shutdown")
        if own:
            until(lambda: not processes.alive(own), seconds)


def bare() -> dict[str, str]:
    """The variables that every program needs."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "USER", "LOGNAME")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
