"""Waits until every event of a filled queue has taken effect once, and says how fast it was."""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.environment import Environment

CONSUME_WITHIN = 180.0
_SO_FAR = "SELECT count(*) FROM effects"
# By the effects' own times of writing: connecting is not part of it.
_DONE = """
SELECT count(DISTINCT (aggregate_id, sequence)), extract(epoch FROM max(at) - min(at))::float8
  FROM effects
"""
# Half of all effects, those in the middle: neither the start of the processes nor the last ones.
_MIDDLE = """
SELECT extract(epoch FROM percentile_disc(0.75) WITHIN GROUP (ORDER BY at)
                        - percentile_disc(0.25) WITHIN GROUP (ORDER BY at))::float8
  FROM effects
"""
_IN_ORDER = """
SELECT count(*) FROM (SELECT sequence < lag(sequence) OVER (PARTITION BY aggregate_id ORDER BY id)
                             AS early FROM effects) e WHERE early
"""
# Inserts into the table since it was made; PostgreSQL counts them when a session is idle.
_PARKED = "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'inbox_parked'"


@dataclass(frozen=True)
class Consumed:
    """Seconds from the first effect to the last, and of the half of them in the middle.

    `parked` is how many events were ever parked.
    """

    seconds: float
    middle: float
    parked: int


def consumed(environment: Environment, events: int, *, within: float = CONSUME_WITHIN) -> Consumed:
    """Raises for an event that is missing, took effect twice or out of order."""
    until = time.monotonic() + within
    with environment.connect() as connection:
        while (rows := connection.execute(_SO_FAR).fetchall()[0][0]) != events:
            if time.monotonic() > until:
                raise TimeoutError(f"{rows} of {events} took effect in {within} s")
            time.sleep(0.1)
        [(different, seconds)] = connection.execute(_DONE).fetchall()
        [(middle,)] = connection.execute(_MIDDLE).fetchall()
        [(early,)] = connection.execute(_IN_ORDER).fetchall()
        time.sleep(1.5)
        [(parked,)] = connection.execute(_PARKED).fetchall()
    if different != events or early:
        raise RuntimeError(f"{events} effects of {different} events, {early} out of order")
    assert isinstance(seconds, float)
    assert isinstance(middle, float)
    assert isinstance(parked, int)
    return Consumed(seconds, middle, parked)
