"""Overview: the flow as a picture, what is in trouble, the last hour; pause, throttle, resume."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fastapi import APIRouter
from markupsafe import Markup
from starlette.responses import HTMLResponse

from outbox.console import figures
from outbox.console.actions import register_action
from outbox.console.flow_bands import ServiceState, bands, troubles_beside
from outbox.console.flow_picture import Band, draw, troubles
from outbox.console.page import Page
from outbox.console.pages.control_actions import Order, Resume
from outbox.console.plots import Line, plot
from outbox.console.samples import Sample
from outbox.console.view import CurrentView, View

router = APIRouter()
PAGE = Page("Overview", "overview", router)

Value = Callable[[Sample], float | None]


@router.get("/", name="overview")
async def overview(view: CurrentView) -> HTMLResponse:
    view.watch()
    states = [state for name in view.services if (state := _state(view, name))]

    def link(route: str, **query: object) -> str:
        return view.path_for(route, query)

    drawn = bands(states, link)
    return view.render(
        "overview.html",
        measured=states,
        picture=draw(drawn),
        bands=drawn,
        troubles=[*troubles(drawn), *troubles_beside(states, link)],
        plots=_plots(view),
        targets={state.name: _targets(state, drawn) for state in states},
    )


def _state(view: View, name: str) -> ServiceState | None:
    samples, application = view.samples.of(name), view.service(name).application
    if not samples:
        return None
    return ServiceState(
        name=name,
        sample=samples[-1],
        before=samples[-2] if len(samples) > 1 else None,
        subscriptions=application.topology.subscriptions if application else (),
        queues=tuple(application.queues) if application else (),
    )


def _targets(state: ServiceState, drawn: Iterable[Band]) -> list[tuple[str, str]]:
    """What can be paused in a service: its queues, and its relay if an application names it."""
    relays = [
        (f"relay:{b.exchange}", f"relay of {b.exchange}")
        for b in drawn
        if b.service == state.name and state.subscriptions
    ]
    queues = dict.fromkeys([*state.queues, *(one.consumer for one in state.inbox)])
    return [*(relays if state.outbox else []), *((f"queue:{q}", f"queue {q}") for q in queues)]


def _plots(view: View) -> list[tuple[str, Markup]]:
    kinds: list[tuple[str, Value, Callable[[float], str]]] = [
        ("Published", _published, figures.rate),
        ("Consumed", _consumed, figures.rate),
        ("Waiting in the outbox", _waiting, figures.number),
        ("Parked", _parked, figures.number),
        ("Commit to effect, p99", _slowest, figures.duration),
    ]
    return [(title, plot(title, _lines(view, value), say)) for title, value, say in kinds]


def _lines(view: View, value: Value) -> list[Line]:
    samples = view.samples
    return [
        Line(name, [(samples.ago(one), value(one)) for one in samples.of(name)])
        for name in view.services
    ]


def _published(sample: Sample) -> float | None:
    outbox = sample.flow.outbox if sample.flow else None
    return sample.per_second(outbox.published.events) if outbox else None


def _consumed(sample: Sample) -> float | None:
    inbox = sample.flow.inbox if sample.flow else None
    return sample.per_second(sum(one.applied.events for one in inbox)) if inbox else None


def _waiting(sample: Sample) -> float | None:
    outbox = sample.flow.outbox if sample.flow else None
    return outbox.waiting.events if outbox else None


def _parked(sample: Sample) -> float | None:
    inbox = sample.flow.inbox if sample.flow else None
    return None if inbox is None else sum(one.parked.parked for one in inbox)


def _slowest(sample: Sample) -> float | None:
    inbox = sample.flow.inbox if sample.flow else None
    return max(
        (one.applied.p99 for one in inbox or () if one.applied.p99 is not None), default=None
    )


register_action(router, "/controls/{service}/order", "order", Order.of)
register_action(router, "/controls/{service}/resume", "resume", Resume.of)
