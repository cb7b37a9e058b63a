"""The way back: what was lost on its way is asked for again, and sent again when asked for."""

from contracts.streams import ORDERS_STREAMS
from outbox import resend_handlers
from servicekit.service.domain import Domain

STREAMS = Domain(
    name="streams", subscription=ORDERS_STREAMS, handlers=resend_handlers(ORDERS_STREAMS)
)
