"""service-processor: does the work that the events of service-orders ask for.

It fulfils orders, decides about bookings, keeps the timelines of tickets, and moves the money of
rentals. It also owns restaurants, tables and reservations. `bootstrap.py` is the only module that
constructs things, `seating/` is shared by two domains, and `audit/` logs every event of both
services.
"""

NAME = "service-processor"
VERSION = "0.1.0"
