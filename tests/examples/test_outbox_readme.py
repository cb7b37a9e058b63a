"""The program in the library's README: an order that is sold is cooked, once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

README = Path(__file__).parents[2] / "libs" / "outbox" / "README.md"
WITHIN = 30.0


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """`shop.py` as the README prints it."""
    [program] = re.findall(
        r'^```python\n("""python shop\.py.*?)^```', README.read_text(), re.DOTALL | re.MULTILINE
    )
    file = tmp_path / "shop.py"
    file.write_text(program)
    return file


@pytest.fixture
def env(database_url: str, broker_url: str) -> dict[str, str]:
    return {**os.environ, "DATABASE_URL": database_url, "RABBITMQ_URL": broker_url}


@contextmanager
def running(shop: Path, role: str, env: dict[str, str]) -> Iterator[None]:
    """A process of the program. It ends by itself on SIGTERM."""
    process = subprocess.Popen([sys.executable, shop, role], env=env)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=WITHIN) == 0


def test_an_order_is_cooked_once(shop: Path, env: dict[str, str]) -> None:
    subprocess.run([sys.executable, shop, "install"], env=env, check=True, timeout=WITHIN)
    with running(shop, "relay", env), running(shop, "kitchen", env):
        subprocess.run([sys.executable, shop, "sell", "soup"], env=env, check=True, timeout=WITHIN)
        with psycopg.connect(env["DATABASE_URL"], autocommit=True) as database:
            deadline = time.monotonic() + WITHIN
            while not (cooked := database.execute("SELECT order_id FROM cooked").fetchall()):
                assert time.monotonic() < deadline, "the order was not cooked in time"
                time.sleep(0.05)
            assert cooked == database.execute("SELECT id FROM orders").fetchall()
