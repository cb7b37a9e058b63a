"""Jobs: calls to other systems that wait, run or failed; redrive and discard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import HTMLResponse

from outbox.console.actions import Proposal, register_action
from outbox.console.page import Page
from outbox.console.pages.service_choice import Service
from outbox.console.view import CurrentView, View
from outbox.inbox.parked_rows import Preview
from outbox.jobs.job import STATES
from outbox.operations.operator import Operator
from outbox.plural import counted

ROWS = 50

router = APIRouter()
PAGE = Page("Jobs", "jobs", router)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters; an empty one does not limit."""

    kind: str = ""
    state: str = ""
    key: str = ""

    @property
    def query(self) -> dict[str, object]:
        """Those that limit."""
        named = {"kind": self.kind, "state": self.state, "key": self.key}
        return {name: value for name, value in named.items() if value}


@router.get("/jobs", name="jobs")
async def jobs(
    view: CurrentView, service: Service, wanted: Annotated[Wanted, Depends()], after: str = ""
) -> HTMLResponse:
    async with view.operator(service) as operator:
        counts = await operator.jobs.counts()
        page = await operator.jobs.list(
            kind=wanted.kind or None,
            state=wanted.state if wanted.state in STATES else None,
            key=wanted.key or None,
            limit=ROWS,
            after=after or None,
        )
    following = {"service": service, **wanted.query, "after": page.next}
    return view.render(
        "jobs.html",
        service=service,
        counts=counts,
        jobs=page.items,
        wanted=wanted,
        states=STATES,
        next=view.path_for("jobs", following) if page.next else None,
    )


@dataclass(frozen=True, slots=True)
class Redrive:
    """Try failed jobs now: one, those of a kind, or all."""

    kind: str | None
    key: str | None

    @classmethod
    def of(cls, kind: str = "", key: str = "") -> Redrive:
        """From a query."""
        return cls(kind or None, key or None)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.jobs.preview_redrive(kind=self.kind, key=self.key)
        jobs = counted(seen.events, "job")
        says = (
            f"{jobs} {'is' if seen.events == 1 else 'are'} called at once: {_which(self)}.",
            "Each keeps its idempotency key, so the other side can repeat its first answer.",
            "A job whose call is being made now is left alone.",
        )
        return Proposal("Redrive jobs", says, f"Redrive {jobs}" if seen.events else "", seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        count = await operator.jobs.redrive(kind=self.kind, key=self.key, seen=seen, note=note)
        return f"{counted(count, 'job is', 'jobs are')} tried now."

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return view.path_for("jobs", {"service": service, "kind": self.kind})


@dataclass(frozen=True, slots=True)
class Discard:
    """Give up one job."""

    kind: str
    key: str

    @classmethod
    def of(cls, kind: str, key: str) -> Discard:
        """From a query."""
        return cls(kind, key)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.jobs.preview_discard(self.kind, self.key)
        says = (
            f"The call {self.kind} {self.key} is never made again.",
            "What waits for its answer waits for ever: nothing else follows a job by itself.",
            "Its row is kept as discarded, with its last error.",
        )
        button = "Discard the job for ever" if seen.events else ""
        return Proposal(f"Discard {self.kind} {self.key}", says, button, seen, is_final=True)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await operator.jobs.discard(self.kind, self.key, seen=seen, note=note)
        return f"{self.kind} {self.key} is discarded."

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return view.path_for("jobs", {"service": service, "kind": self.kind})


def _which(chosen: Redrive) -> str:
    if chosen.key:
        return f"{chosen.kind} {chosen.key}"
    return f"all failed of kind {chosen.kind}" if chosen.kind else "all that have failed"


register_action(router, "/jobs/{service}/redrive", "redrive_jobs", Redrive.of)
register_action(router, "/jobs/{service}/discard", "discard_job", Discard.of)
