"""The channel on which consumers announce what is settled, and where `?wait=` listens.

The key of an order is its id; that of anything else is its noun and its id, as in `booking/<id>`.
"""

SETTLED = "orders_settled"
