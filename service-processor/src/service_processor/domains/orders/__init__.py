"""Orders: fulfilled here by a policy, and answered with what came of it."""

from service_processor.domain import Domain
from service_processor.domains.orders.handlers import handlers
from service_processor.domains.orders.policy import Simulated
from service_processor.settings import Settings

QUEUE = "processor.orders"


def orders(settings: Settings) -> Domain:
    """The domain under these settings."""
    policy = Simulated(settings.processing_success_rate)
    return Domain(name="orders", queue=QUEUE, handlers=handlers(policy))
