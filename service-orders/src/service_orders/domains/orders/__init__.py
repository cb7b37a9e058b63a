"""Orders: this service stores them, service-processor fulfils them, its answer settles them."""

from contracts.orders import ORDERS_ORDERS
from service_orders.domains.orders.api import PROBLEMS, router
from service_orders.domains.orders.handlers import on
from servicekit.service.domain import Domain

ORDERS = Domain(
    name="orders", router=router, problems=PROBLEMS, subscription=ORDERS_ORDERS, handlers=on
)
