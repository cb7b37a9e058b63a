"""The pages. Each file has a `PAGE`; the order here is that of the navigation."""

from outbox.console.pages import (
    failures,
    health,
    jobs,
    journey,
    operations,
    outbox,
    overview,
    queues,
    scheduled,
    streams,
)

PAGES = (
    overview.PAGE,
    failures.PAGE,
    journey.PAGE,
    streams.PAGE,
    outbox.PAGE,
    scheduled.PAGE,
    jobs.PAGE,
    queues.PAGE,
    health.PAGE,
    operations.PAGE,
)
