"""One request over all services, as a sequence diagram with the time of each stage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse

from outbox.console.figures import took
from outbox.console.page import Page
from outbox.console.sequence_diagram import diagram
from outbox.console.view import CurrentView, View
from outbox.losses import one_line
from outbox.operations import Operator
from outbox.operations.journey import STAGES, TOTAL, Journey, Stage, Usual, steps

router = APIRouter()
PAGE = Page("Journey", "journey", router)


@dataclass(frozen=True, slots=True)
class Asked:
    """Operators of the services that can be reached, and what is wrong with the others."""

    operators: dict[str, Operator] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def first(self) -> tuple[str, Operator]:
        """The service that asks the others. Raises 503 if none can be reached."""
        for found in self.operators.items():
            return found
        raise HTTPException(503, "; ".join(self.problems.values()) or "There is no service here.")


@dataclass(frozen=True, slots=True)
class StagesOfEvent:
    """A line of the table of stages: the stages of one event at one consumer, by name."""

    type: str
    consumer: str
    stages: dict[str, Stage]
    usual: dict[str, Usual]


@router.get("/journey", name="journey")
async def show(view: CurrentView, id: str = "") -> HTMLResponse:
    """Without an id the slowest events; with one that nothing knows, what begins with it."""
    async with _asked(view) as asked:
        name, operator = asked.first
        if not id.strip():
            slow = await operator.slowest(asked.operators, name=name)
            return view.render("journeys.html", id="", slow=slow, problems=asked.problems)
        found = await operator.journey(id, asked.operators, name=name)
        if not (found.events or found.scheduled):
            matches = await operator.search(id, asked.operators, name=name)
            return view.render(
                "journeys.html", id=id, problems=asked.problems, matches=matches, slow=None
            )
    return view.render(
        "journey.html",
        id=id,
        journey=found,
        diagram=diagram(found),
        steps=steps(found),
        stages=[*_stages(found)],
        names=(*STAGES, TOTAL),
        took=took,
        problems=asked.problems,
    )


@asynccontextmanager
async def _asked(view: View) -> AsyncIterator[Asked]:
    """One database that is away hides nothing of the others."""
    found = Asked()
    async with AsyncExitStack() as stack:
        for name in view.services:
            try:
                found.operators[name] = await stack.enter_async_context(view.operator(name))
            except psycopg.Error as problem:
                found.problems[name] = one_line(problem)
        yield found


def _stages(found: Journey) -> Iterator[StagesOfEvent]:
    usual = found.usual or {}
    for one in found.events:
        for reception in one.receptions:
            stages = {stage.name: stage for stage in reception.stages}
            if reception.times.applied_at:
                whole = Stage(TOTAL, one.event.created_at, reception.times.applied_at)
                stages[TOTAL] = whole
            consumer = f"{reception.database} {reception.consumer}"
            lately = dict(usual.get(reception.consumer, {}))
            yield StagesOfEvent(one.event.type, consumer, stages, lately)
