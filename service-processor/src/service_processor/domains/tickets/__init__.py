"""Tickets: this service keeps their timelines, notifications and deadlines."""

from datetime import timedelta

from contracts.tickets import PROCESSOR_TICKETS
from service_processor.domains.tickets.api import PROBLEMS, router
from service_processor.domains.tickets.handlers import handlers
from service_processor.domains.tickets.service import AutoClose
from service_processor.settings import Settings
from servicekit.service.domain import Domain


def tickets(settings: Settings) -> Domain:
    """The domain with these settings."""
    auto_close = AutoClose(timedelta(hours=settings.ticket_auto_close_hours))
    return Domain(
        name="tickets",
        subscription=PROCESSOR_TICKETS,
        handlers=handlers(auto_close),
        router=router,
        problems=PROBLEMS,
    )
