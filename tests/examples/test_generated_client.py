"""The clients of docs/http.md, generated from what both services serve, and its program."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from kit.http.live_services import Live, live_for_tests

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
COMMANDS = re.findall(r"^openapi-python-client .*$", PAGE, re.MULTILINE)
BIN = Path(sys.executable).parent
WITHIN = 120.0
REFUSED = """
import sys, uuid
from orders_client import Client
from orders_client.api.orders import get_order
from orders_client.models import Problem
problem = get_order.sync(client=Client(sys.argv[1]), order_id=uuid.uuid4())
assert isinstance(problem, Problem), problem
print(problem.status, problem.code)
"""


@pytest.fixture(scope="module")
def orders() -> Iterator[Live]:
    yield from live_for_tests("orders")


@pytest.fixture(scope="module")
def processor() -> Iterator[Live]:
    yield from live_for_tests("processor")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, orders: Live, processor: Live) -> Path:
    """Both clients as the page has them generated, and its program as `shop.py`."""
    folder = tmp_path_factory.mktemp("shop")

    def with_addresses(text: str) -> str:
        text = text.replace("http://localhost:8000", orders.base)
        return text.replace("http://localhost:8001", processor.base)

    assert len(COMMANDS) == 2
    for command in COMMANDS:
        run(folder, *shlex.split(with_addresses(command)), "--fail-on-warning")
    [program] = re.findall(
        r'^```python\n("""python shop\.py.*?)^```', PAGE, re.DOTALL | re.MULTILINE
    )
    (folder / "shop.py").write_text(with_addresses(program))
    return folder


def run(folder: Path, command: str, *arguments: str) -> str:
    """What a program of the virtual environment prints in the folder."""
    done = subprocess.run(
        [BIN / command, *arguments],
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=WITHIN,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def operations(live: Live) -> set[str]:
    document = httpx.get(f"{live.base}/openapi.json", timeout=30).json()
    return {one["operationId"] for path in document["paths"].values() for one in path.values()}


def test_every_operation_has_a_function_in_the_client(
    folder: Path, orders: Live, processor: Live
) -> None:
    for name, live in (("orders_client", orders), ("processor_client", processor)):
        modules = {path.stem for path in (folder / name / "api").glob("*/[!_]*.py")}
        assert modules == {
            re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", operation)
            for operation in operations(live)
        }


def test_the_program_of_the_page_places_an_order_and_reads_its_history(
    folder: Path, orders: Live, processor: Live
) -> None:
    made = {"name": "Trattoria Roma", "address": "Via Appia 1"}
    httpx.post(f"{processor.base}/api/v1/restaurants", json=made, timeout=30).raise_for_status()
    printed = run(folder, "python", "shop.py").splitlines()
    assert printed[0] == "Trattoria Roma"
    order_id, *history = printed[1].split()
    assert history == ["CREATED"]
    with psycopg.connect(orders.database) as connection:
        stored = connection.execute(
            "SELECT id, status, user_id, amount::text FROM orders"
        ).fetchall()
    assert stored == [(UUID(order_id), "CREATED", "user_1", "14.50")]


def test_a_refusal_is_returned_as_a_problem(folder: Path, orders: Live) -> None:
    assert run(folder, "python", "-c", REFUSED, orders.base) == "404 order_not_found\n"


def test_the_program_of_the_page_passes_a_strict_type_check(folder: Path) -> None:
    """The generator's own `client.py` is not clean, so errors in what is imported are not shown."""
    run(folder, "mypy", "--strict", "--follow-imports=silent", "shop.py")
