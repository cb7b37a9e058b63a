"""Orders: a policy fulfils them, and an event answers with the outcome."""

from typing import assert_never

from contracts.orders import PROCESSOR_ORDERS
from service_processor.domains.orders.api import PROBLEMS, router
from service_processor.domains.orders.handlers import handlers
from service_processor.domains.orders.inventory import Inventory
from service_processor.domains.orders.policy import Delay, FulfilmentPolicy, Simulated
from service_processor.domains.orders.service import Fulfilment
from service_processor.settings import Policy, Settings
from servicekit.service.domain import Domain


def orders(settings: Settings) -> Domain:
    """The domain with these settings."""
    delay = Delay(settings.processing_delay_min, settings.processing_delay_max)
    fulfilment = Fulfilment(_policy(settings), delay)
    return Domain(
        name="orders",
        subscription=PROCESSOR_ORDERS,
        handlers=handlers(fulfilment),
        router=router,
        problems=PROBLEMS,
    )


def _policy(settings: Settings) -> FulfilmentPolicy:
    match settings.fulfilment_policy:
        case Policy.SIMULATED:
            return Simulated(settings.processing_success_rate)
        case Policy.INVENTORY:
            return Inventory()
        case _:
            assert_never(settings.fulfilment_policy)
