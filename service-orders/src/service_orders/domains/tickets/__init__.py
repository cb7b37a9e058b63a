"""Tickets: people open, comment and move them; service-processor says when to close an idle one."""

from contracts.tickets import ORDERS_TICKETS
from service_orders.domains.tickets.api import PROBLEMS, router
from service_orders.domains.tickets.handlers import on
from servicekit.service.domain import Domain

TICKETS = Domain(
    name="tickets", router=router, problems=PROBLEMS, subscription=ORDERS_TICKETS, handlers=on
)
