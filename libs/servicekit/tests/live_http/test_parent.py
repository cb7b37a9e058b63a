"""Several API processes on one port: real parents, real children, real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from kit.waiting import eventually
from servicekit.process.server import bind
from servicekit.process.startup_errors import StartupProblem

PROGRAM = Path(__file__).with_name("api_process.py")


@dataclass
class Api:
    """A parent, its port, and the folder of its program."""

    parent: asyncio.subprocess.Process
    port: int
    folder: Path

    async def get(self, path: str) -> httpx.Response:
        """Ask over a connection of its own, as every process accepts some of them."""
        async with httpx.AsyncClient(timeout=60) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def pid(self) -> int:
        return int((await self.get("/api/v1/pid")).json())

    async def pids(self) -> set[int]:
        """The processes that answer, once there are two."""
        found: set[int] = set()

        async def both() -> bool:
            with suppress(httpx.TransportError):
                found.update(await self.pids_of(8))
            return len(found) >= 2

        await eventually(both)
        return found

    async def pids_of(self, connections: int) -> set[int]:
        return set(await asyncio.gather(*(self.pid() for _ in range(connections))))

    async def refused(self) -> bool:
        try:
            await self.get("/health/live")
        except httpx.ConnectError:
            return True
        return False

    @property
    def metrics_folders(self) -> list[Path]:
        return list(self.folder.glob("api-metrics-*"))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, tmp_path, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert parent.stdout is not None
    yield Api(parent, int(await parent.stdout.readline()), tmp_path)
    if parent.returncode is None:
        parent.kill()
    await parent.wait()


def runs(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


async def _pid_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    writer.write(b"GET /api/v1/pid HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return int(answer.rpartition(b"\r\n")[2])


async def _is_there(file: Path) -> bool:
    return await asyncio.to_thread(file.exists)


async def ended(pids: set[int]) -> None:
    async def none() -> bool:
        return not any(map(runs, pids))

    await eventually(none)


async def test_children_share_the_port_and_one_scrape_has_the_sum_of_them(api: Api) -> None:
    pids = await api.pids()
    assert len(pids) == 2
    assert api.parent.pid not in pids
    name = 'http_requests_total{method="GET",route="/api/v1/pid",status="200"}'
    before = _sample((await api.get("/metrics")).text, name)
    assert await api.pids_of(30) == pids
    assert _sample((await api.get("/metrics")).text, name) == before + 30


def _sample(text: str, name: str) -> float:
    (line,) = [one for one in text.splitlines() if one.startswith(name)]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_to_the_parent_lets_a_request_in_flight_finish(
    api: Api, number: signal.Signals
) -> None:
    pids = await api.pids()
    request = asyncio.create_task(api.get("/api/v1/waiting"))
    await eventually(lambda: _is_there(api.folder / "waiting"))
    api.parent.send_signal(number)
    await eventually(api.refused)
    (api.folder / "go").touch()
    answer = await request
    assert answer.status_code == 200
    assert answer.json() in pids
    assert await api.parent.wait() == 0
    assert not any(map(runs, pids))
    assert api.metrics_folders == []


async def test_a_killed_child_is_started_again_and_the_other_goes_on(api: Api) -> None:
    killed, other = await api.pids()
    os.kill(killed, signal.SIGKILL)
    await ended({killed})
    assert await api.pid() != killed
    pids = await api.pids()
    assert other in pids
    assert killed not in pids


async def test_connections_that_wait_for_a_child_survive_its_death(api: Api) -> None:
    killed, other = await api.pids()
    os.kill(killed, signal.SIGSTOP)
    connections = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(30)]
    os.kill(killed, signal.SIGKILL)
    answered = {await _pid_over(*one) for one in connections}
    assert other in answered
    assert killed not in answered
    assert len(answered) == 2


async def test_a_port_with_children_is_taken(api: Api) -> None:
    await api.pids()
    with pytest.raises(StartupProblem, match="is taken"):
        bind("127.0.0.1", api.port, variable="TOYS_PORT")


async def test_children_end_when_their_parent_is_killed(api: Api) -> None:
    pids = await api.pids()
    request = asyncio.create_task(api.get("/api/v1/waiting"))
    await eventually(lambda: _is_there(api.folder / "waiting"))
    api.parent.kill()
    await eventually(api.refused)
    (api.folder / "go").touch()
    assert (await request).status_code == 200
    await ended(pids)
    assert api.metrics_folders == []
