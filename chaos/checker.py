"""What the two databases say about one direction of a run, and nothing but they.

`written` is what the producer's transactions committed; the log must say the same. Every event of
it is in effect once, in its place, or waits behind a poisoned one, or was stolen and is missed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import psycopg

from chaos.sides import EXITS, RAISES, SIDES, Place, Side

_WRITTEN = "SELECT token, number, kind FROM written"
_LOGGED = """
SELECT payload->>'token', event_id::text, aggregate_id, sequence
  FROM outbox WHERE source = %s ORDER BY aggregate_id, sequence
"""
_EFFECTS = "SELECT token FROM effects ORDER BY id"
_PARKED = """
SELECT convert_from(body, 'UTF8')::json->>'token', reason FROM inbox_parked WHERE consumer = %s
"""
_MENDED = "SELECT token FROM mended"
_STOLEN = "SELECT token FROM stolen"


@dataclass
class Verdict:
    """Lists of what is wrong, by kind of wrong; and what is missed or parked with reason."""

    unlogged: list[str] = field(default_factory=list)
    """Committed and not in the log, or in the log and rolled back, or out of its place there."""
    twice: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    """In effect, but of no committed transaction."""
    misordered: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    """In effect although an earlier one of the stream is not."""
    lost: list[str] = field(default_factory=list)
    """Neither in effect nor parked, and nobody stole it."""
    parked_wrongly: list[str] = field(default_factory=list)
    """In effect and still parked; or the first that waits in its stream and not poisoned."""
    absent: list[str] = field(default_factory=list)
    """Event ids of what was stolen and has not come again."""
    gaps: set[tuple[str, int]] = field(default_factory=set)
    """Aggregate and sequence of what is absent, first of its stream, and has a follower there."""
    waiting: int = 0
    events: int = 0

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What never should be, once all is calm."""
        allowed = {"absent", "gaps", "waiting", "events"}
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in allowed}
        return {name: tokens for name, tokens in found.items() if tokens}

    @property
    def beyond_repair(self) -> dict[str, list[str]]:
        """What no waiting can mend."""
        forever = {"twice", "unwritten", "misordered", "overtaken"}
        return {name: tokens for name, tokens in self.wrong.items() if name in forever}


class Logged(NamedTuple):
    """An event of the producer's log."""

    token: str
    event_id: str
    aggregate: str
    sequence: int


@dataclass
class Taken:
    """What the consumer's database says, as of one moment."""

    effects: list[str]
    parked: dict[str, str]
    mended: set[str]
    stolen: set[str]


Written = dict[str, tuple[int | None, str]]
"""By token: the number among the writes of its aggregate, and what harm it does."""


def examine(place: Place, consumer: Side) -> Verdict:
    """Judge the events that this side takes."""
    # The consumer first: what it has must be with the producer by then.
    taken = _taken(place, consumer)
    written, logged = _produced(place, SIDES[consumer.takes_of])
    verdict = Verdict(events=len(logged))
    _judge_log(written, logged, verdict)
    _judge_effects(logged, taken.effects, verdict)
    reasons = {RAISES: "failed", EXITS: "crashed"}
    poison = {
        token: reasons[kind]
        for token, (_, kind) in written.items()
        if kind and token not in taken.mended
    }
    _judge_waiting(logged, taken, poison, verdict)
    return verdict


def _taken(place: Place, consumer: Side) -> Taken:
    with place.connect(consumer) as connection, connection.transaction():
        rows = _snapshot(connection)
        return Taken(
            [token for (token,) in rows(_EFFECTS)],
            dict(rows(_PARKED, consumer.queue)),
            {token for (token,) in rows(_MENDED)},
            {token for (token,) in rows(_STOLEN)},
        )


def _produced(place: Place, producer: Side) -> tuple[Written, list[Logged]]:
    with place.connect(producer) as connection, connection.transaction():
        rows = _snapshot(connection)
        written = {token: (number, kind) for token, number, kind in rows(_WRITTEN)}
        return written, [Logged(*row) for row in rows(_LOGGED, producer.name)]


def _snapshot(connection: psycopg.Connection[Any]) -> Callable[..., list[tuple[Any, ...]]]:
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    return lambda query, *given: connection.execute(query, given).fetchall()


def _judge_log(written: Written, logged: list[Logged], verdict: Verdict) -> None:
    verdict.unlogged += sorted(set(written) ^ {event.token for event in logged})
    last: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for token, _, aggregate, sequence in logged:
        before, highest = last[aggregate]
        number, _ = written.get(token, (None, ""))
        if sequence != before + 1 or (number is not None and number <= highest):
            verdict.unlogged.append(token)
        last[aggregate] = (before + 1, highest if number is None else number)


def _judge_effects(logged: list[Logged], effects: list[str], verdict: Verdict) -> None:
    places = {event.token: event for event in logged}
    verdict.twice += [token for token, count in Counter(effects).items() if count > 1]
    verdict.unwritten += [token for token in effects if token not in places]
    reached: dict[str, int] = defaultdict(int)
    for token in dict.fromkeys(effects):
        if event := places.get(token):
            if event.sequence <= reached[event.aggregate]:
                verdict.misordered.append(token)
            reached[event.aggregate] = max(event.sequence, reached[event.aggregate])


def _judge_waiting(
    logged: list[Logged], taken: Taken, poison: dict[str, str], verdict: Verdict
) -> None:
    """In each stream the first that is not in effect must have a right to be so."""
    effects = set(taken.effects)
    # By aggregate: at which sequence an absent event stops it, or 0 where that event is parked.
    stopped: dict[str, int] = {}
    for token, event_id, aggregate, sequence in logged:
        if token in effects:
            if token in taken.parked:
                verdict.parked_wrongly.append(token)
            if aggregate in stopped:
                verdict.overtaken.append(token)
            continue
        if token in taken.parked:
            verdict.waiting += 1
            if aggregate not in stopped and taken.parked[token] != poison.get(token):
                verdict.parked_wrongly.append(token)
            if stopped.setdefault(aggregate, 0):
                verdict.gaps.add((aggregate, stopped[aggregate]))
        elif token in taken.stolen:
            verdict.absent.append(event_id)
        else:
            verdict.lost.append(token)
        stopped.setdefault(aggregate, sequence)
