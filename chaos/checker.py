"""The checker reads the two databases, and nothing else, about one direction of a run.

`written` holds what the producer's transactions committed, and the outbox table must agree. Each of
its events took effect once and in order, or waits behind a poisoned event.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import psycopg

from chaos.scenario import EXITS, RAISES, SIDES, Environment, Side

_WRITTEN = "SELECT token, number, kind FROM written"
_LOGGED = """
SELECT payload->>'token', aggregate_id, sequence
  FROM outbox WHERE source = %s AND aggregate_type = %s ORDER BY aggregate_id, sequence
"""
_EFFECTS = "SELECT token FROM effects ORDER BY id"
_PARKED = """
SELECT convert_from(body, 'UTF8')::json->>'token', reason FROM inbox_parked WHERE consumer = %s
"""
_MENDED = "SELECT token FROM mended"


@dataclass
class Report:
    """What is wrong, by kind, and how much is parked for a known reason."""

    unrecorded: list[str] = field(default_factory=list)
    """Committed but not in the outbox table, or the reverse, or out of order there."""
    twice: list[str] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)
    """An effect without a committed transaction."""
    misordered: list[str] = field(default_factory=list)
    overtaken: list[str] = field(default_factory=list)
    """Took effect although an earlier event of the stream did not."""
    lost: list[str] = field(default_factory=list)
    """Neither in effect nor parked."""
    parked_wrongly: list[str] = field(default_factory=list)
    """Took effect and is still parked; or is the first to wait in its stream but not poisoned."""
    waiting: int = 0
    events: int = 0

    @property
    def applied(self) -> int:
        """How many events took effect."""
        return self.events - self.waiting - len(self.lost)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What must be empty once nothing is under way."""
        allowed = {"waiting", "events"}
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in allowed}
        return {name: tokens for name, tokens in found.items() if tokens}

    @property
    def beyond_repair(self) -> dict[str, list[str]]:
        """What waiting cannot mend."""
        forever = {"twice", "unwritten", "misordered", "overtaken"}
        return {name: tokens for name, tokens in self.wrong.items() if name in forever}


class Row(NamedTuple):
    """An event of the producer's outbox table."""

    token: str
    aggregate: str
    sequence: int


@dataclass
class Consumed:
    """What the consumer's database holds, in one snapshot."""

    effects: list[str]
    parked: dict[str, str]
    mended: set[str]


Written = dict[str, tuple[int | None, str]]
"""By token: the number among the writes of its aggregate, and the kind of poison."""


def examine(environment: Environment, consumer: Side) -> Report:
    """Check the events that this side consumes."""
    # The consumer is read first: whatever it has, the producer must have by then.
    consumed = _consumed(environment, consumer)
    written, logged = _produced(environment, SIDES[consumer.source])
    report = Report(events=len(logged))
    _check_outbox_table(written, logged, report)
    _check_effects(logged, consumed.effects, report)
    # While most streams fail, or a dependency was away, a type is tripped until one event succeeds.
    reasons = {RAISES: {"failed", "tripped"}, EXITS: {"crashed", "tripped"}}
    poison = {
        token: reasons[kind]
        for token, (_, kind) in written.items()
        if kind and token not in consumed.mended
    }
    _check_waiting(logged, consumed, poison, report)
    return report


def _consumed(environment: Environment, consumer: Side) -> Consumed:
    with environment.connect(consumer) as connection, connection.transaction():
        rows = _snapshot(connection)
        return Consumed(
            [token for (token,) in rows(_EFFECTS)],
            dict(rows(_PARKED, consumer.queue)),
            {token for (token,) in rows(_MENDED)},
        )


def _produced(environment: Environment, producer: Side) -> tuple[Written, list[Row]]:
    with environment.connect(producer) as connection, connection.transaction():
        rows = _snapshot(connection)
        written = {token: (number, kind) for token, number, kind in rows(_WRITTEN)}
        return written, [Row(*row) for row in rows(_LOGGED, producer.name, producer.aggregate_type)]


def _snapshot(connection: psycopg.Connection[Any]) -> Callable[..., list[tuple[Any, ...]]]:
    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    return lambda query, *given: connection.execute(query, given).fetchall()


def _check_outbox_table(written: Written, logged: list[Row], report: Report) -> None:
    report.unrecorded += sorted(set(written) ^ {event.token for event in logged})
    last: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for token, aggregate, sequence in logged:
        before, highest = last[aggregate]
        number, _ = written.get(token, (None, ""))
        if sequence != before + 1 or (number is not None and number <= highest):
            report.unrecorded.append(token)
        last[aggregate] = (before + 1, highest if number is None else number)


def _check_effects(logged: list[Row], effects: list[str], report: Report) -> None:
    by_token = {event.token: event for event in logged}
    report.twice += [token for token, count in Counter(effects).items() if count > 1]
    report.unwritten += [token for token in effects if token not in by_token]
    reached: dict[str, int] = defaultdict(int)
    for token in dict.fromkeys(effects):
        if event := by_token.get(token):
            if event.sequence <= reached[event.aggregate]:
                report.misordered.append(token)
            reached[event.aggregate] = max(event.sequence, reached[event.aggregate])


def _check_waiting(
    logged: list[Row], consumed: Consumed, poison: dict[str, set[str]], report: Report
) -> None:
    """In each stream, the first event without effect must have a reason."""
    effects = set(consumed.effects)
    stopped: set[str] = set()
    for token, aggregate, _ in logged:
        if token in effects:
            if token in consumed.parked:
                report.parked_wrongly.append(token)
            if aggregate in stopped:
                report.overtaken.append(token)
            continue
        if token in consumed.parked:
            report.waiting += 1
            if aggregate not in stopped and consumed.parked[token] not in poison.get(token, ()):
                report.parked_wrongly.append(token)
        else:
            report.lost.append(token)
        stopped.add(aggregate)
