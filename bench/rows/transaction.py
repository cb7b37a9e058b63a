"""What the outbox adds to a transaction of one insert and one update.

The same transaction with and without an event, block by block in turn, on one connection: over
SQLAlchemy's async engine, over psycopg alone, and as one statement (`unit.write`).
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator

from bench.environment import fresh_environment
from bench.figures import Bench, Better, Figure, compare
from bench.transactions import (
    Kind,
    Pair,
    Transaction,
    over_psycopg,
    over_sqlalchemy,
    single_statement,
)

BLOCKS, PER_BLOCK = 10, 100
KINDS: dict[str, Kind] = {
    "SQLAlchemy, outbox.add": over_sqlalchemy,
    "psycopg, outbox.rows": over_psycopg,
    "one statement": single_statement,
}

Blocks = tuple[list[float], list[float]]
"""Milliseconds per transaction of each block: without an event, with one."""


async def run(bench: Bench) -> list[Figure]:
    found: dict[str, Blocks] = {name: ([], []) for name in KINDS}
    for turn in bench.turns:
        for name, kind in KINDS.items():
            async with fresh_environment(bench.stack) as environment, kind(environment) as pair:
                await _measure(pair, found[name])
        medians = {name: compare(there, without) for name, (without, there) in found.items()}
        bench.note(
            f"turn {turn + 1}: " + ", ".join(f"{name} {r:.2f} ×" for name, r in medians.items())
        )
    return [_figure(name, blocks) for name, blocks in found.items()]


async def _measure(pair: Pair, found: Blocks) -> None:
    numbers = itertools.count()
    without, there = found
    await _block(pair.without, numbers)  # warm: statements prepared, pages read
    await _block(pair.with_event, numbers)
    for _ in range(BLOCKS):
        without.append(await _block(pair.without, numbers))
        there.append(await _block(pair.with_event, numbers))


async def _block(transaction: Transaction, numbers: Iterator[int]) -> float:
    began = time.perf_counter()
    for number in itertools.islice(numbers, PER_BLOCK):
        await transaction(number)
    return (time.perf_counter() - began) / PER_BLOCK * 1000


def _figure(name: str, blocks: Blocks) -> Figure:
    without, there = blocks
    return Figure(
        f"transaction with event ({name})",
        statistics.median(there),
        "ms",
        "without",
        statistics.median(without),
        compare(there, without),
        least=1.35,
        aim=1.15,
        better=Better.LOWER,
        turns={"with": there, "without": without},
    )
