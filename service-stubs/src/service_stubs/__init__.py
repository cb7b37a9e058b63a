"""Stand-ins for the external systems that rentals need: scooters, tariffs, users, payments.

Their data are fixed (`world.py`). The movements of money are in a file (`ledger.py`). A test can
make each system slow, failing, hanging, declining, or answer nonsense (`trouble.py`, `control.py`).
The service refuses to start in production.
"""

NAME = "service-stubs"
VERSION = "0.1.0"
