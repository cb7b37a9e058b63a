"""A steady 500 events a second for SOAK_SECONDS: what grows, and does it get slower.

Compared are the first and the last tenth of the same run. The log itself grows by design: rows
stay for replay until their day's partition is dropped.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.drain import RELAY
from bench.environment import Environment, fresh_environment
from bench.figures import Bench, Better, Figure, setting
from bench.open_loop_load import Journey, Send, committing, consuming, percentile, send_at_rate
from bench.subject_process import SubjectProcess, subject_process

RATE, SECONDS = 500, 300
MIB = 1024 * 1024
_SIZES = """
SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint,
       (SELECT coalesce(sum(pg_relation_size(indexrelid)), 0)::bigint FROM pg_index
         WHERE indpred IS NOT NULL AND indrelid IN (SELECT relid FROM pg_partition_tree('outbox')))
  FROM pg_partition_tree('outbox')
"""


@dataclass(frozen=True)
class Sample:
    """One moment of the soak. Bytes, but for the CPU's seconds."""

    events: int
    rss: int
    cpu: float
    log: int
    unpublished_index: int


async def run(bench: Bench) -> list[Figure]:
    count = seconds() * RATE
    tenth = count // 10
    samples: list[Sample] = []
    began = time.monotonic()
    async with (
        fresh_environment(bench.stack) as environment,
        subject_process(RELAY, environment) as relay,
    ):
        await relay.until(lambda usage: usage.ready and usage.lanes > 0)
        async with committing(environment) as send, consuming(environment) as journey:
            for first in range(0, count, tenth):
                await _tenth(journey, send, first, min(tenth, count - first))
                samples.append(await _sample(environment, relay, len(journey.began)))
                bench.note(_said(samples[-1], journey, tenth))
            await journey.all_arrived()
    return _figures(samples, journey, tenth, count / (time.monotonic() - began))


def seconds() -> int:
    """How long it is to last."""
    return setting("SOAK_SECONDS", SECONDS, least=10, most=86_400)


async def _tenth(journey: Journey, send: Send, first: int, count: int) -> None:
    await send_at_rate(journey, send, rate=RATE, count=count, first=first)


async def _sample(environment: Environment, relay: SubjectProcess, events: int) -> Sample:
    usage = await relay.usage()
    [log, index] = await asyncio.to_thread(_sizes, environment)
    return Sample(events, usage.rss, usage.cpu, log, index)


def _sizes(environment: Environment) -> tuple[int, int]:
    with environment.connect() as connection:
        [(log, index)] = connection.execute(_SIZES).fetchall()
    assert isinstance(log, int)
    assert isinstance(index, int)
    return log, index


def _figures(samples: list[Sample], journey: Journey, tenth: int, rate: float) -> list[Figure]:
    first, last = samples[0], samples[-1]
    events = last.events - first.events
    early = percentile(journey.latencies(range(tenth)), 99)
    late = percentile(journey.latencies(range(last.events - tenth, last.events)), 99)
    cpu = (last.cpu - first.cpu) / events * 1e6
    index = f"index of the unpublished {first.unpublished_index / MIB:.2f} MiB after a tenth, "
    index += f"{last.unpublished_index / MIB:.2f} MiB at the end"
    per_event = f"{(last.log - first.log) / events:,.0f} bytes an event; {index}"
    return [
        _figure("soak: relay's memory", last.rss / MIB, first.rss / MIB, "MiB", cpu=cpu),
        _figure("soak: latency p99", late, early, "ms", remark=f"{rate:.0f} events/s came about"),
        _figure("soak: size of the log", last.log / MIB, first.log / MIB, "MiB", remark=per_event),
    ]


def _figure(
    name: str, end: float, start: float, unit: str, *, remark: str = "", cpu: float | None = None
) -> Figure:
    return Figure(
        name,
        end,
        unit,
        "after a tenth",
        start,
        end / start,
        better=Better.LOWER,
        cpu=cpu,
        remark=remark,
    )


def _said(sample: Sample, journey: Journey, tenth: int) -> str:
    numbers = [n for n in range(sample.events - tenth, sample.events) if n in journey.arrived]
    return (
        f"{sample.events:,} events: p99 {percentile(journey.latencies(numbers), 99):.1f} ms, "
        f"relay {sample.rss / MIB:.1f} MiB, log {sample.log / MIB:.1f} MiB, "
        f"index of the unpublished {sample.unpublished_index / MIB:.2f} MiB"
    )
