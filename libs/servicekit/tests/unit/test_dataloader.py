"""Values that are asked for together are read together, and never too early."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from servicekit.database.dataloader import DataLoader


class Source:
    """Counts statements; a test lets each one go on."""

    def __init__(self) -> None:
        self.values = {1: "a", 2: "b"}
        self.statements: list[list[int]] = []
        self.go_on = asyncio.Semaphore(0)

    async def read(self, keys: Sequence[int]) -> dict[int, str]:
        self.statements.append(list(keys))
        found = {key: self.values[key] for key in keys if key in self.values}
        await self.go_on.acquire()
        return found


async def test_a_read_that_comes_during_a_statement_is_part_of_the_next_one() -> None:
    source = Source()
    batched = DataLoader(source.read)
    first = asyncio.create_task(batched.get(1))
    await asyncio.sleep(0.01)
    source.values[1] = "newer"
    others = [asyncio.create_task(batched.get(key)) for key in (1, 2, 3, 1)]
    source.go_on.release()
    source.go_on.release()
    assert await first == "a"
    assert await asyncio.gather(*others) == ["newer", "b", None, "newer"]
    assert source.statements == [[1], [1, 2, 3]]


async def test_a_failed_statement_fails_only_its_own_calls() -> None:
    calls = 0

    async def read(keys: Sequence[int]) -> dict[int, str]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ConnectionError
        return dict.fromkeys(keys, "x")

    batched = DataLoader(read)
    with pytest.raises(ConnectionError):
        await batched.get(1)
    assert await batched.get(1) == "x"


async def test_a_cancelled_call_harms_no_other() -> None:
    source = Source()
    batched = DataLoader(source.read)
    gone, stays = (asyncio.create_task(batched.get(key)) for key in (1, 2))
    await asyncio.sleep(0.01)
    gone.cancel()
    source.go_on.release()
    assert await stays == "b"


async def test_no_statement_is_longer_than_the_limit() -> None:
    source = Source()
    batched = DataLoader(source.read, limit=2)
    for _ in range(3):
        source.go_on.release()
    await asyncio.gather(*(batched.get(key) for key in range(5)))
    assert source.statements == [[0, 1], [2, 3], [4]]
