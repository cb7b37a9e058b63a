"""Prometheus metrics of the library. The application exposes the default registry."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PUBLISHED = Counter("outbox_publishes_total", "Publishes by their outcome.", ["outcome"])
WINDOW_SECONDS = Histogram("outbox_window_seconds", "From publishing a window to its last confirm.")
# With a label, because a gauge without one is 0 in every process, also where no relay is to be.
LANES_OWNED = Gauge("outbox_lanes_owned", "Lanes that this relay owns.", ["exchange"])
BACKLOG = Gauge(
    "outbox_backlog_events", "Events not yet published, counted to 100,000.", ["exchange"]
)
OLDEST_SECONDS = Gauge(
    "outbox_oldest_unpublished_seconds", "Age of the oldest unpublished event.", ["exchange"]
)
DAYS_AHEAD = Gauge(
    "partition_days_ahead",
    "Days for which inserts have a partition; below 3 is an alarm.",
    ["table"],
    multiprocess_mode="livemin",
)
REFUSED = Gauge(
    "outbox_topology_refused",
    "1 while the broker refuses an exchange, a queue or a stream queue as it should be.",
    ["part"],
)
UNROUTED = Counter(
    "outbox_unrouted_events_total",
    "Events that only stream queues took: resent, unwanted by any subscription, or unknown.",
    ["exchange", "outcome"],
)
UNBOUND_QUEUES = Gauge(
    "outbox_unbound_queues",
    "Queues whose binding is missing, noticed by events that did not reach them.",
    ["exchange"],
)
BACKED_OFF = Gauge(
    "outbox_backed_off_aggregates",
    "Aggregates whose first event failed, waiting for a retry or for a person.",
    ["exchange"],
)
BEACONS = Counter("outbox_beacons_total", "Beacons that the broker has confirmed.")
RESENT = Counter("outbox_resent_events_total", "Events that go again because a consumer asked.")
PUT_OFF = Counter(
    "outbox_resends_put_off_total",
    "Events asked for again beyond the limit, left to the next request of their consumer.",
)

CONSUMED = Counter(
    "inbox_events_total", "Deliveries, by what was decided.", ["consumer", "decision"]
)
DEAD_LETTERED = Counter(
    "inbox_dead_lettered_total",
    "Messages refused and sent to the dead letters, by reason.",
    ["consumer", "reason"],
)
BATCH_SECONDS = Histogram(
    "inbox_batch_seconds", "A batch, from its first event to its ack.", ["consumer"]
)
BATCH_EVENTS = Histogram(
    "inbox_batch_events",
    "Deliveries that a worker takes at once.",
    ["consumer"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200),
)
WORKERS_BUSY = Gauge("inbox_workers_busy", "Workers that handle a batch now.", ["consumer"])
PARKED = Gauge("inbox_parked_events", "Parked events by reason.", ["consumer", "reason"])
FOR_PERSON = Gauge(
    "inbox_parked_for_person_events",
    "Parked events that are not retried by themselves: they wait for a person.",
    ["consumer"],
)
PARKED_BYTES = Gauge(
    "inbox_parked_bytes",
    "Bytes of all parked events, a KiB for each besides its body.",
    ["consumer"],
)
PARKED_STREAM_BYTES = Gauge(
    "inbox_parked_stream_bytes", "The same for the stream with the most bytes.", ["consumer"]
)
TRIPPED = Gauge(
    "inbox_type_tripped",
    "1 while events of this type wait, because many streams failed with one cause.",
    ["consumer", "type"],
)
PROBES = Counter(
    "inbox_probes_total", "Single events of tripped types, tried.", ["consumer", "type", "outcome"]
)
RETRIES = Counter("inbox_retries_total", "Retries of parked events.", ["consumer", "outcome"])
CRASHED = Counter(
    "inbox_crashed_total", "Events parked because they killed the process.", ["consumer"]
)
MISSING = Gauge(
    "inbox_missing_events",
    "Events that are known and have not arrived, by state: awaited, asked, lost, unrecoverable.",
    ["consumer", "state"],
)
RESENDS = Counter(
    "inbox_resends_total", "Events that their sources were asked to send again.", ["consumer"]
)
UNRECOVERABLE = Gauge(
    "outbox_unrecoverable_events",
    "Missing events that their source does not have any more: a person has to skip them.",
    ["consumer"],
)
HANDLER_SECONDS = Histogram(
    "inbox_handler_seconds", "A handler, from call to return.", ["consumer", "type"]
)
LAG_SECONDS = Histogram(
    "inbox_lag_seconds",
    "From an event's time until it is handled; the oldest event of each batch.",
    ["consumer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)

CONTROL_RATE = Gauge(
    "outbox_control_rate",
    "Events a second that a control lets pass; 0 is a pause. Absent without a control.",
    ["target", "type"],
)

JOBS = Counter("outbox_jobs_total", "Attempts at jobs, by their outcome.", ["kind", "outcome"])
JOBS_NOW = Gauge(
    "outbox_jobs_now",
    "Jobs that are not done, by state: waiting, failed, discarded.",
    ["kind", "state"],
)
JOBS_OLDEST_SECONDS = Gauge(
    "outbox_jobs_oldest_waiting_seconds",
    "How long the first waiting job without a running call has been due.",
    ["kind"],
)
JOB_SECONDS = Histogram("outbox_job_seconds", "An attempt at a job, from claim to end.", ["kind"])
