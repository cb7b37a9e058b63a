"""Waits until processes are ready; Trouble has the last line of the first that died."""

import time

from devstack.host.errors import Trouble
from devstack.host.layout import Layout
from devstack.native import services
from devstack.native.supervisor import Supervisor

READY = "ready"


class Watch:
    def __init__(self, layout: Layout, supervisor: Supervisor) -> None:
        self._layout = layout
        self._supervisor = supervisor
        self._pids: dict[str, int] = {}
        self._read_from: dict[str, int] = {}

    def start(self, names: list[str]) -> None:
        for name in names:
            log = self._layout.log_of(name)
            self._read_from[name] = log.stat().st_size if log.exists() else 0
            self._supervisor.start(name)
        states = self._supervisor.states()
        self._pids.update({name: int(states[name]["pid"]) for name in names})

    def until_ready(self, urls: dict[str, str], seconds: float = 60) -> None:
        """`urls` by program. A program this watch started must not die meanwhile."""
        deadline = time.monotonic() + seconds
        waiting = dict(urls)
        while waiting:
            self._raise_if_one_died()
            said = {name: services.readiness(url) for name, url in waiting.items()}
            waiting = {name: url for name, url in waiting.items() if said[name] != READY}
            if waiting and time.monotonic() > deadline:
                name = next(iter(waiting))
                raise Trouble(
                    f"{name} is not ready after {seconds:.0f} s, it says: {said[name]}; "
                    f"see {self._layout.log_of(name)}"
                )
            if waiting:
                time.sleep(0.1)

    def _raise_if_one_died(self) -> None:
        states = self._supervisor.states() if self._pids else {}
        for name, pid in self._pids.items():
            if states[name]["pid"] != pid:
                raise Trouble(
                    f"{self._last_words(name)} (process {name}; see {self._layout.log_of(name)})"
                )

    def _last_words(self, name: str) -> str:
        """The service's own error line, else the last line of its log."""
        try:
            with self._layout.log_of(name).open(errors="replace") as log:
                log.seek(self._read_from[name])
                lines = [line.strip() for line in log if line.strip()]
        except OSError:
            lines = []
        return own_line(lines) or f"{name} ended without a word"


def own_line(lines: list[str]) -> str:
    """The last `service-…: …` line, else the last line."""
    own = [line for line in lines if line.startswith("service-")]
    return (own or lines or [""])[-1]
