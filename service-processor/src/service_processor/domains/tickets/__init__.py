"""Tickets: their timelines and notifications are kept here, and their deadlines."""

from datetime import timedelta

from service_processor.domain import Domain
from service_processor.domains.tickets.api import PROBLEMS, router
from service_processor.domains.tickets.handlers import handlers
from service_processor.domains.tickets.service import Desk
from service_processor.settings import Settings

QUEUE = "processor.tickets"


def tickets(settings: Settings) -> Domain:
    """The domain under these settings."""
    desk = Desk(timedelta(hours=settings.ticket_auto_close_hours))
    return Domain(
        name="tickets", queue=QUEUE, handlers=handlers(desk), router=router, problems=PROBLEMS
    )
