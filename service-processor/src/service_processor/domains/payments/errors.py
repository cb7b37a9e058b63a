"""What can go wrong with payments."""

from __future__ import annotations

from servicekit.service.rows import NotFound


class PaymentNotFound(NotFound):
    """The payment of this rental is not known: the event of its start did not arrive."""

    noun = "payment for the rental"
