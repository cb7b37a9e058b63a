"""What came of the steps of payments; the calls are counted where they are made."""

from __future__ import annotations

from prometheus_client import Counter

STEPS = Counter(
    "payment_steps_total",
    "Steps of payments by their outcome; a transaction that is run again counts again.",
    ["step", "outcome"],
)
