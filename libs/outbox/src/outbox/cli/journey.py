"""`outbox journey`: the way of a request through several services, and the time of each stage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from outbox.addresses import DatabaseAddress
from outbox.cli.options import Json
from outbox.cli.output import emit, say, table
from outbox.cli.running import FOUND, fail, run, user
from outbox.operations import Actor, Operator, open_operator
from outbox.operations.journey import STAGES, TOTAL, Journey, Slow, Usual, steps

Id = Annotated[
    str | None,
    typer.Argument(
        metavar="ID",
        help="Of an aggregate (such as one order), an event, a request (correlation id) or a trace."
        " Without one, the slowest events of the last hour.",
        show_default=False,
    ),
]
Services = Annotated[
    list[str] | None,
    typer.Option(
        "--service",
        metavar="NAME=URL",
        help="A service and its database; repeatable. Without it, the two URLs below.",
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database-url", envvar="DATABASE_URL", metavar="URL", show_default=False),
]
ConsumerUrls = Annotated[
    list[str] | None,
    typer.Option(
        "--consumer-url",
        envvar="CONSUMER_DATABASE_URL",
        metavar="URL",
        help="Another database to ask; repeatable.",
    ),
]


def journey(
    *,
    id_: Id = None,
    service: Services = None,
    database_url: DatabaseUrl = None,
    consumer_url: ConsumerUrls = None,
    as_json: Json = False,
) -> None:
    """Show all that happened, and is still to happen, under an id: events, stages, jobs."""
    urls = _named(service or [], [url for url in (database_url, *(consumer_url or [])) if url])
    if id_ is None:
        _show_slowest(run(_slowest(urls)), as_json=as_json)
        return
    found = run(_read(urls, id_))
    if as_json:
        emit({"journey": found, "is_over": found.is_over, "steps": steps(found)})
    elif found.events or found.scheduled:
        _show(found)
    else:
        say(f"{id_}: unknown here")
    if not (found.events or found.scheduled):
        raise typer.Exit(FOUND)


def _named(services: list[str], urls: list[str]) -> dict[str, str]:
    if not services and not urls:
        fail("give the databases: --service NAME=URL, or DATABASE_URL")
    named = {DatabaseAddress.of(url).name: url for url in urls} if not services else {}
    for one in services:
        name, equals, url = one.partition("=")
        if not (name and equals and url):
            fail(f"--service {one}: expected NAME=URL")
        named[name] = url
    return named


async def _read(urls: Mapping[str, str], id_: str) -> Journey:
    async with _opened(urls) as (name, operator, others):
        return await operator.journey(id_, others, name=name, everywhere=True)


async def _slowest(urls: Mapping[str, str]) -> Sequence[Slow]:
    async with _opened(urls) as (name, operator, others):
        return await operator.slowest(others, name=name)


@asynccontextmanager
async def _opened(
    urls: Mapping[str, str],
) -> AsyncIterator[tuple[str, Operator, dict[str, Operator]]]:
    """The first service with its name, and the others."""
    by = Actor(user(), via="cli")
    async with AsyncExitStack() as stack:
        others = {
            name: await stack.enter_async_context(open_operator(url, by=by))
            for name, url in urls.items()
        }
        name = next(iter(others))
        yield name, others.pop(name), others


def _show(found: Journey) -> None:
    began, last = found.began_at, found.last_at
    if began and last:
        end = "over" if found.is_over else "not over yet"
        more = ", more events than are shown" if found.is_more else ""
        say(f"{found.id}: {len(found.events)} events in {_took((last - began).total_seconds())}, "
            f"{end}{more}")  # fmt: skip
    table(
        "steps",
        ("at", "after", "where", "step", "detail"),
        (
            (_at(step.at), _after(step.at if step.done else None, began), step.where, step.what,
             step.detail)
            for step in steps(found)
        ),
    )  # fmt: skip
    table("stages", ("event", "consumer", *STAGES), _stages(found))
    table(
        "usual in the last hour: half of the events / 95 of 100",
        ("events", "consumer", *STAGES, TOTAL),
        _usual(found.usual or {}),
    )


def _show_slowest(found: Sequence[Slow], *, as_json: bool) -> None:
    if as_json:
        emit({"slowest": found})
        return
    if not found:
        say("no event was applied in the last hour")
    table(
        "slowest events of the last hour, from commit to effect",
        ("took", "event", "aggregate", "consumer", "committed", "event id"),
        (
            (_took(one.seconds), one.event and one.event.type, one.event and one.event.stream,
             f"{one.database} {one.consumer}", one.created_at, one.event_id)
            for one in found
        ),
    )  # fmt: skip


def _stages(found: Journey) -> Iterator[tuple[object, ...]]:
    for one in found.events:
        for reception in one.receptions:
            took = {stage.name: stage.seconds for stage in reception.stages}
            cells = ("since then" if name in took and took[name] is None else _took(took.get(name))
                     for name in STAGES)  # fmt: skip
            yield (one.event.type, f"{reception.database} {reception.consumer}", *cells)


def _usual(usual: Mapping[str, Mapping[str, Usual]]) -> Iterator[tuple[object, ...]]:
    for consumer, stages in usual.items():
        cells = (
            f"{_took(stages[name].p50)} / {_took(stages[name].p95)}" if name in stages else None
            for name in (*STAGES, TOTAL)
        )
        yield (max(one.events for one in stages.values()), consumer, *cells)


def _took(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _at(time: datetime | None) -> str | None:
    return None if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z"


def _after(time: datetime | None, began: datetime | None) -> str | None:
    return None if time is None or began is None else _took((time - began).total_seconds())
