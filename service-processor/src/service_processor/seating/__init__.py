"""Seating: which tables there are, and who holds which table when.

The domains `restaurants` (reservations by name) and `bookings` (tables chosen for a party) both
stand on this package, so neither imports the other. `models.py` has the tables, `allocation.py`
chooses and releases, `known_restaurants.py` remembers what never changes, `resources.py` is what
an API process keeps for its requests.

Invariant: no two allocations of a table overlap. An exclusion constraint proves it, whatever the
code does. A transaction that allocates, releases or deletes locks the restaurant's row first and
reads in a later statement, so what it reads stays true until it commits.
"""
