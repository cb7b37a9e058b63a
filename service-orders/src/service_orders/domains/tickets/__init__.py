"""Tickets: opened, commented and moved here; service-processor says when one is to be closed."""

from service_orders.domains.tickets.api import PROBLEMS, router
from service_orders.domains.tickets.handlers import HANDLERS
from servicekit.service.domain import Domain

QUEUE = "orders.tickets"

TICKETS = Domain(name="tickets", router=router, problems=PROBLEMS, queue=QUEUE, handlers=HANDLERS)
