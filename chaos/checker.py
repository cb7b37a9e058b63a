"""What the two databases say about one direction of a run, and nothing but they.

`written` is what the producer's transactions committed; the log must say the same. Every event of
it is in effect once, in its place, or waits behind a poisoned one, or was stolen and is missed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields

import psycopg

from chaos.sides import EXITS, RAISES, SIDES, Place, Side

Rows = list[tuple[object, ...]]

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


def examine(place: Place, consumer: Side) -> Verdict:
    """Judge the events that this side takes."""
    producer = SIDES[consumer.takes_of]
    # The consumer first: what it has must be with the producer by then.
    with place.connect(consumer) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        effects = [str(token) for (token,) in _rows(connection, _EFFECTS)]
        parked = {str(token): str(why) for token, why in _rows(connection, _PARKED, consumer.queue)}
        mended, stolen = ({str(t) for (t,) in _rows(connection, q)} for q in (_MENDED, _STOLEN))
    with place.connect(producer) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        written = {str(t): (n, str(kind)) for t, n, kind in _rows(connection, _WRITTEN)}
        logged = _rows(connection, _LOGGED, producer.name)
    verdict = Verdict(events=len(logged))
    _judge_log(written, logged, verdict)
    _judge_effects(logged, effects, verdict)
    reasons = {RAISES: "failed", EXITS: "crashed"}
    poison = {t: reasons[kind] for t, (_, kind) in written.items() if kind and t not in mended}
    _judge_waiting(logged, set(effects), parked, poison, stolen, verdict)
    return verdict


def _rows(connection: psycopg.Connection[tuple[object, ...]], query: str, *given: object) -> Rows:
    return connection.execute(query, given).fetchall()  # type: ignore[arg-type]


def _judge_log(written: dict[str, tuple[object, str]], logged: Rows, verdict: Verdict) -> None:
    tokens = [str(row[0]) for row in logged]
    verdict.unlogged += sorted(set(written) ^ set(tokens))
    last: dict[object, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for token, _, aggregate, sequence in logged:
        before, highest = last[aggregate]
        number, _ = written.get(str(token), (None, ""))
        if sequence != before + 1 or (number is not None and int(str(number)) <= highest):
            verdict.unlogged.append(str(token))
        last[aggregate] = (before + 1, highest if number is None else int(str(number)))


def _judge_effects(logged: Rows, effects: list[str], verdict: Verdict) -> None:
    places = {str(token): (aggregate, int(str(n))) for token, _, aggregate, n in logged}
    verdict.twice += [token for token, count in Counter(effects).items() if count > 1]
    verdict.unwritten += [token for token in effects if token not in places]
    reached: dict[object, int] = defaultdict(int)
    for token in dict.fromkeys(effects):
        if token in places:
            aggregate, sequence = places[token]
            if sequence <= reached[aggregate]:
                verdict.misordered.append(token)
            reached[aggregate] = max(sequence, reached[aggregate])


def _judge_waiting(
    logged: Rows,
    effects: set[str],
    parked: dict[str, str],
    poison: dict[str, str],
    stolen: set[str],
    verdict: Verdict,
) -> None:
    """In each stream the first that is not in effect must have a right to be so."""
    stopped: dict[object, int] = {}
    """Where, or 0 if what stops the stream is there."""
    for token, event_id, aggregate, place in ((str(row[0]), *row[1:]) for row in logged):
        if token in effects:
            if token in parked:
                verdict.parked_wrongly.append(token)
            if aggregate in stopped:
                verdict.overtaken.append(token)
            continue
        first = aggregate not in stopped
        if token in parked:
            verdict.waiting += 1
            if stopped.setdefault(aggregate, 0):
                verdict.gaps.add((str(aggregate), stopped[aggregate]))
            elif first and parked[token] != poison.get(token):
                verdict.parked_wrongly.append(token)
        elif token in stolen:
            verdict.absent.append(str(event_id))
        else:
            verdict.lost.append(token)
        stopped.setdefault(aggregate, int(str(place)))
