"""How long after the commit of an event its effect was committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from chaos.scenario import KITCHEN, SHOP, Environment

# A deferred trigger runs at the commit, so the time of an effect is not that of its statement.
_AT_COMMIT = """
CREATE FUNCTION effect_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE effects SET at = clock_timestamp() WHERE id = NEW.id;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER effects_at_commit AFTER INSERT ON effects
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION effect_at_commit();
"""
_WRITTEN = "SELECT token, at FROM written WHERE aggregate_id LIKE %s AND at >= %s AND at < %s"
_EFFECTS = "SELECT token, at FROM effects WHERE aggregate_id LIKE %s AND at >= %s"


@dataclass(frozen=True)
class Latencies:
    """In seconds, sorted."""

    seconds: Sequence[float]

    def percentile(self, share: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    def __str__(self) -> str:
        p50, p99 = self.percentile(0.5), self.percentile(0.99)
        return (
            f"commit to effect p50 {p50:.3f} s, p99 {p99:.3f} s, longest {self.seconds[-1]:.3f} s"
        )


def effects_at_commit(environment: Environment) -> None:
    """Let `effects.at` be the time of the commit. Call it before a consumer runs."""
    with environment.connect(KITCHEN) as connection:
        connection.execute(_AT_COMMIT)


def latencies(
    environment: Environment,
    *,
    aggregates: str = "%",
    since: datetime | None = None,
    until: datetime | None = None,
) -> Latencies:
    """Of the events of these aggregates that were written in this time."""
    span = (since or "-infinity", until or "infinity")
    with environment.connect(SHOP) as connection:
        written: dict[Any, Any] = dict(
            connection.execute(_WRITTEN, [aggregates, *span]).fetchall()  # type: ignore[arg-type]
        )
    with environment.connect(KITCHEN) as connection:
        effects: list[Any] = connection.execute(_EFFECTS, [aggregates, span[0]]).fetchall()
    late: list[timedelta] = [at - written[token] for token, at in effects if token in written]
    return Latencies(sorted(one.total_seconds() for one in late))
