"""From the newest figures of all services to the bands of the picture. Asks nothing.

Who consumes what is known from the inboxes: a consumer's sources are the producers it has received
from. An application adds the subscriptions that have received nothing yet, and the exchange's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from outbox.console.flow_picture import Arrow, Band, Leg, Trouble
from outbox.console.samples import Sample
from outbox.inbox.missing_events import DO_NOT_COME
from outbox.operations.flow import WAITING_TO, ConsumerFlow, OutboxFlow
from outbox.plural import counted
from outbox.postgres.controls import Control
from outbox.rabbitmq.subscription import Subscribed

OLD = 60.0
"""Seconds after which a waiting event is trouble."""

Link = Callable[..., str]
"""`link("failures", service="orders")` is the address of a page."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """What is known of one service now, with its sample before, and what its application says."""

    name: str
    sample: Sample
    before: Sample | None = None
    subscriptions: tuple[Subscribed, ...] = ()
    queues: tuple[str, ...] = ()

    @property
    def outbox(self) -> OutboxFlow | None:
        """The producer's half, if there is one."""
        return self.sample.flow.outbox if self.sample.flow else None

    @property
    def inbox(self) -> list[ConsumerFlow]:
        """Its consumers that have received something."""
        return (self.sample.flow.inbox or []) if self.sample.flow else []

    @property
    def controls(self) -> list[Control]:
        """What a person has paused or throttled."""
        return self.sample.flow.controls if self.sample.flow else []

    @property
    def written(self) -> float | None:
        """Events a second that were added to the outbox table."""
        was = self.before.flow.outbox if self.before and self.before.flow else None
        if self.outbox is None or was is None:
            return None
        return self.sample.per_second(max(self.outbox.last_id - was.last_id, 0))


def bands(services: Iterable[ServiceState], link: Link) -> list[Band]:
    """A band for each service that publishes or does not answer."""
    states = list(services)
    return [
        _band(state, states, link)
        for state in states
        if state.outbox is not None or state.sample.problem
    ]


def troubles_beside(services: Iterable[ServiceState], link: Link) -> Iterator[Trouble]:
    """Troubles that no arrow of the picture has.

    They are tripped types, missing events, failed jobs, and failures of consumers whose producers
    are not among the services.
    """
    states = list(services)
    drawn = {state.outbox.source for state in states if state.outbox}
    for state in states:
        for consumer in state.inbox:
            href = link("failures", service=state.name, consumer=consumer.consumer)
            trouble = _failing(consumer, href)
            if trouble and drawn.isdisjoint(consumer.sources):
                yield trouble
        flow = state.sample.flow
        for one in flow.tripped if flow else ():
            href = link("failures", service=state.name, consumer=one.consumer)
            yield Trouble(f"{one.consumer} has closed {one.type}: {one.cause}", href)
        for missing in flow.missing if flow else ():
            if missing.state in DO_NOT_COME:
                events = counted(missing.events, "event is", "events are")
                yield Trouble(f"{events} {missing.state} for {missing.consumer}", link("reconcile"))
        for jobs in flow.jobs if flow else ():
            if jobs.state == "failed":
                href = link("jobs", service=state.name, kind=jobs.kind, state="failed")
                yield Trouble(f"{counted(jobs.jobs, f'{jobs.kind} job')} failed", href)


def _band(state: ServiceState, states: list[ServiceState], link: Link) -> Band:
    source = state.outbox.source if state.outbox else None
    subscribed = [one for other in states for one in other.subscriptions if one.source == source]
    exchange = next((one.exchange for one in subscribed), source or state.name)
    legs = _legs(source, states, {one.queue for one in subscribed}, link)
    return Band(
        service=state.name,
        exchange=exchange,
        writing=_writing(state, link),
        publishing=_publishing(state, exchange, link),
        legs=tuple(legs),
        href=link("outbox", service=state.name),
    )


def _writing(state: ServiceState, link: Link) -> Arrow:
    problem = state.sample.problem
    trouble = Trouble(problem, link("health", service=state.name)) if problem else None
    return Arrow(rate=state.written, trouble=trouble)


def _publishing(state: ServiceState, exchange: str, link: Link) -> Arrow:
    outbox = state.outbox
    if outbox is None:
        return Arrow()
    control = _control(state.controls, exchange)
    reason = _why_not_published(outbox, paused=bool(control))
    return Arrow(
        rate=state.sample.per_second(outbox.published.events),
        waiting=outbox.waiting.events,
        oldest=outbox.waiting.oldest,
        p50=outbox.published.p50,
        p99=outbox.published.p99,
        times="commit to confirm",
        control=control,
        trouble=Trouble(reason, link("outbox", service=state.name)) if reason else None,
    )


def _why_not_published(outbox: OutboxFlow, *, paused: bool) -> str:
    if outbox.parked:
        return counted(outbox.parked, "event is parked", "events are parked")
    if outbox.backed_off:
        return counted(outbox.backed_off, "event comes back", "events come back")
    if not outbox.relays:
        return "no relay is connected"
    if (outbox.waiting.oldest or 0.0) > OLD and not paused:
        more = "+" if outbox.waiting.events >= WAITING_TO else ""
        return f"{outbox.waiting.events:,}{more} wait over a minute"
    return ""


def _legs(
    source: str | None, states: list[ServiceState], subscribed: set[str], link: Link
) -> Iterator[Leg]:
    known = set[str]()
    for state in states:
        for consumer in state.inbox:
            if source in consumer.sources:
                known.add(consumer.consumer)
                yield _leg(state, consumer, link)
    for queue in sorted(subscribed - known):
        owner = next((state for state in states if queue in state.queues), None)
        ready = Arrow(waiting=_ready(states, queue))
        href = link("queues", service=owner.name if owner else states[0].name)
        yield Leg(queue, owner.name if owner else "nobody yet", ready, Arrow(), href)


def _leg(state: ServiceState, consumer: ConsumerFlow, link: Link) -> Leg:
    name, applied, parked = consumer.consumer, consumer.applied, consumer.parked
    href = link("failures", service=state.name, consumer=name)
    leaving = Arrow(
        rate=state.sample.per_second(applied.events),
        waiting=parked.parked,
        oldest=parked.oldest,
        p50=applied.p50,
        p99=applied.p99,
        times="commit to effect",
        control=_control(state.controls, name),
        trouble=_failing(consumer, href),
    )
    arriving = Arrow(waiting=_ready([state], name))
    return Leg(name, state.name, arriving, leaving, link("queues", service=state.name))


def _failing(consumer: ConsumerFlow, href: str) -> Trouble | None:
    parked = consumer.parked
    if parked.for_person:
        return Trouble(counted(parked.for_person, "event failed", "events failed"), href)
    if (parked.oldest or 0.0) > OLD:
        return Trouble(counted(parked.parked, "event is parked", "events are parked"), href)
    return None


def _ready(states: list[ServiceState], queue: str) -> int | None:
    return next((one.sample.ready[queue] for one in states if queue in one.sample.ready), None)


def _control(controls: Iterable[Control], target: str) -> str:
    return next((one.does for one in controls if one.target == target and not one.type), "")
