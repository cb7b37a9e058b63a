"""Orders: placed here, fulfilled by service-processor, settled by its answer."""

from contracts import ORDERS_ORDERS
from service_orders.domains.orders.api import PROBLEMS, router
from service_orders.domains.orders.handlers import HANDLERS
from servicekit.service.domain import Domain

ORDERS = Domain(
    name="orders", router=router, problems=PROBLEMS, subscription=ORDERS_ORDERS, handlers=HANDLERS
)
