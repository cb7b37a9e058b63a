"""The channel on which consumers announce what is settled, and where `?wait=` listens.

The key of an order is its id, of a booking `booking/<id>`, of a rental `rental/<id>`.
"""

SETTLED = "orders_settled"
