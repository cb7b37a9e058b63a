"""Stand-ins for the external systems that rentals need: scooters, tariffs, users, money.

The world they show is fixed (`world.py`), the money that moves is kept in a file (`ledger.py`), and
whoever tests can make each of them slow, failing, hanging, declining or nonsense (`trouble.py`).
"""

NAME = "service-stubs"
VERSION = "0.1.0"
