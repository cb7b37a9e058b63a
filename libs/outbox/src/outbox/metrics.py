"""Prometheus metrics of relay and consumer; whoever runs them exposes the default registry."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("outbox_publishes_total", "Publishes by their outcome.", ["outcome"])
WINDOW_SECONDS = Histogram("outbox_window_seconds", "From publishing a window to its last confirm.")
LANES_OWNED = Gauge("outbox_lanes_owned", "Lanes that this relay owns.")
BACKLOG = Gauge("outbox_backlog_events", "Events not yet published, counted to 100,000.")
OLDEST_SECONDS = Gauge("outbox_oldest_unpublished_seconds", "Age of the oldest unpublished event.")
DAYS_AHEAD = Gauge(
    "partition_days_ahead",
    "Days for which inserts have a partition; below 3 is an alarm.",
    ["table"],
)
HELD = Gauge("outbox_held_aggregates", "Aggregates that wait for a retry of their first event.")

CONSUMED = Counter(
    "inbox_events_total", "Events taken, by what was decided.", ["consumer", "verdict"]
)
BATCH_SECONDS = Histogram(
    "inbox_batch_seconds", "A batch, from its first event to its ack.", ["consumer"]
)
PARKED = Gauge("inbox_parked_events", "Parked events by reason.", ["consumer", "reason"])
