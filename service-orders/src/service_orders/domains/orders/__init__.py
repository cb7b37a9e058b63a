"""Orders: placed here, fulfilled by service-processor, settled by its answer."""

from contracts import SUBSCRIPTIONS
from service_orders.domains.orders.api import PROBLEMS, router
from service_orders.domains.orders.handlers import HANDLERS
from servicekit.service.domain import Domain

QUEUE = "orders.orders"
assert QUEUE in {subscription.queue for subscription in SUBSCRIPTIONS}

ORDERS = Domain(name="orders", router=router, problems=PROBLEMS, queue=QUEUE, handlers=HANDLERS)
