"""Counts the outcomes of payment steps; the HTTP client counts the calls."""

from __future__ import annotations

from prometheus_client import Counter

STEPS = Counter(
    "payment_steps_total",
    "Steps of payments by outcome; a repeated transaction counts again.",
    ["step", "outcome"],
)
