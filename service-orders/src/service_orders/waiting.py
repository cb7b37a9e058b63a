"""The channel on which consumers say what has settled, and `?wait=` listens.

Orders go by their id, bookings by `booking/<id>`, rentals by `rental/<id>`.
"""

SETTLED = "orders_settled"
