"""docs/two-applications.md: what is lost between its two applications comes back by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import psycopg
import pytest

from kit.servers.databases import fresh_database
from kit.waiting import until

PAGE = Path(__file__).parents[2] / "docs" / "two-applications.md"
WITHIN = 90.0
"""The courier waits 30 s for what may be on its way; the beacon comes some seconds earlier."""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    [text] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    file = tmp_path / "parcels.py"
    file.write_text(text)
    return file


@pytest.fixture
def env(database_url: str, broker_url: str) -> Iterator[dict[str, str]]:
    with fresh_database(urlsplit(database_url)._replace(path="/postgres").geturl()) as second:
        urls = {"DEPOT_URL": database_url, "COURIER_URL": second, "RABBITMQ_URL": broker_url}
        yield {**os.environ, **urls}


@contextmanager
def running(program: Path, name: str, env: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, program, name], env=env)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=WITHIN) == 0


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as database:
        return database.execute(query).fetchall()


async def purged(broker_url: str) -> int:
    async with await aio_pika.connect(broker_url) as connection:
        queue = await (await connection.channel()).get_queue("courier.parcels")
        return (await queue.purge()).message_count or 0


async def test_what_is_purged_between_the_two_is_delivered(
    program: Path, env: dict[str, str], broker_url: str
) -> None:
    def say(*words: str) -> None:
        subprocess.run([sys.executable, program, *words], env=env, check=True, timeout=WITHIN)

    def delivered(number: int) -> bool:
        found = rows(env["COURIER_URL"], "SELECT id FROM deliveries ORDER BY id")
        sent = rows(env["DEPOT_URL"], "SELECT id FROM parcels ORDER BY id")
        return len(sent) == number and found == sent

    def published() -> bool:
        return rows(env["DEPOT_URL"], "SELECT FROM outbox WHERE published_at IS NULL") == []

    say("install")
    with running(program, "depot", env):
        with running(program, "courier", env):
            say("accept", "Main Street 1")
            assert until(lambda: delivered(1), WITHIN)
        say("accept", "Main Street 2")
        assert until(published, WITHIN)
        assert await purged(broker_url) > 0  # the parcel, and perhaps beacons
        with running(program, "courier", env):
            assert until(lambda: delivered(2), WITHIN)
