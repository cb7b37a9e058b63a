"""Health: what the doctor says of each service, and what reconcile says of each pair of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from outbox.console.page import Page
from outbox.console.unusable import reason_of
from outbox.console.view import CurrentView, View
from outbox.operations.doctor import Finding, Level
from outbox.operations.reconcile import Reconciliation, Why

TIMEOUT = 60.0
FIXES = {
    Why.LOST: "Replay the stream on the page Outbox.",
    Why.FORGOTTEN: "It cannot come any more: skip it on the page Streams.",
    Why.PARKED: "Redrive or discard it on the page Outbox.",
    Why.AHEAD: "One database was restored: compare both histories, then set a baseline.",
}
"""What brings a missing event, by the reason why it is missing."""
_ORDER = (Level.ERROR, Level.WARNING, Level.SKIPPED, Level.OK)

router = APIRouter()
PAGE = Page("Health", "health", router)


@dataclass(frozen=True, slots=True)
class Examined:
    """One service, the worst first; `problem` says why it could not be examined."""

    service: str
    findings: list[Finding] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A producer against a consumer."""

    producer: str
    consumer: str
    result: Reconciliation | None = None
    problem: str = ""


@router.get("/health", name="health")
async def health(view: CurrentView) -> HTMLResponse:
    found = await asyncio.gather(*(_examine(view, name) for name in view.services))
    return view.render("health.html", services=found, compared=None)


@router.get("/health/reconcile", name="reconcile")
async def reconcile(view: CurrentView) -> HTMLResponse:
    """Compare every producer with every consumer: it reads all of their streams."""
    pairs = [(one, other) for one in view.services for other in view.services]
    compared = [await _compare(view, producer, consumer) for producer, consumer in pairs]
    return view.render("health.html", services=[], compared=compared, fixes=FIXES)


async def _examine(view: View, service: str) -> Examined:
    try:
        async with asyncio.timeout(TIMEOUT), view.operator(service) as operator:
            findings = await operator.doctor()
    except Exception as problem:
        return Examined(service, problem=reason_of(problem))
    return Examined(service, sorted(findings, key=lambda one: _ORDER.index(one.level)))


async def _compare(view: View, producer: str, consumer: str) -> Compared:
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            view.operator(producer) as source,
            view.operator(consumer) as target,
        ):
            return Compared(producer, consumer, await source.reconcile(target))
    except Exception as problem:
        return Compared(producer, consumer, problem=reason_of(problem))
