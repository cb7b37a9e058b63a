"""`make bench`: starts its own PostgreSQL and RabbitMQ, measures, prints, and cleans up.

python -m bench [--rounds N] [ROW …]      rows: see bench/rows/__init__.py
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
import traceback
from types import FrameType

import uvloop

from bench import report
from bench.ceiling import best_ceiling
from bench.figures import Bench, Figure
from bench.rows import BY_DEFAULT, ROWS, soak
from bench.stack import own_stack
from devstack.host.console import plain, say
from devstack.host.errors import Trouble

ROW_WITHIN = 1_800
"""Seconds for one round of a row."""


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _leave)
    unknown = set(options.rows) - set(ROWS)
    if unknown or not 1 <= options.rounds <= 20:
        plain(f"bench: rows are {' '.join(ROWS)}; rounds are 1 to 20")
        return 2
    try:
        return _measure(options.rows or list(BY_DEFAULT), options.rounds)
    except Trouble as trouble:
        plain(f"bench: {trouble}")
        return trouble.status
    except KeyboardInterrupt:
        plain("bench: interrupted; everything it started has ended")
        return 130


def _measure(rows: list[str], rounds: int) -> int:
    """The figures so far are reported even when a row fails or the run is interrupted."""
    began = time.monotonic()
    figures: list[Figure] = []
    missing = list(rows)
    with own_stack() as stack:
        bench = Bench(stack, best_ceiling(stack.home), rounds)
        say(f"{stack.described()}; ceiling: {bench.ceiling.name}")
        try:
            for row in rows:
                found = _figures_of(row, bench)
                if found:
                    figures += found
                    missing.remove(row)
        finally:
            if figures:
                seconds = time.monotonic() - began
                plain("\n" + report.as_table(figures))
                plain(f"\n{report.write_json(figures, bench, seconds=seconds, missing=missing)}")
    if missing:
        plain(f"bench: no figures for {' '.join(missing)}")
    return 1 if missing else 0


def _figures_of(row: str, bench: Bench) -> list[Figure]:
    """No figures when the row fails; the other rows are still measured."""
    say(f"{row}: {(ROWS[row].__doc__ or '').splitlines()[0]}")
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_bounded(row, bench))
    except Exception:
        traceback.print_exc()
        return []


async def _bounded(row: str, bench: Bench) -> list[Figure]:
    async with asyncio.timeout(ROW_WITHIN * bench.rounds + soak.seconds()):
        return await ROWS[row].run(bench)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench", description="See docs/benchmarks.md.")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=" ".join(ROWS))
    parser.add_argument("--rounds", type=int, default=1)
    return parser


def _leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM ends the bench as Ctrl-C does, after it has cleaned up."""
    del frame
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
