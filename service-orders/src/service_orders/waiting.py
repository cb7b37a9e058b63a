"""The channel on which consumers say which orders have settled, and `?wait=` listens."""

SETTLED = "orders_settled"
