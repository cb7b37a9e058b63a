"""Payments: the money of a rental is held, taken and given back at an external provider.

`policy.py` decides the next step inside a transaction. A job calls the provider outside of any
transaction, and stores the outcome with the end of the job and the event in one transaction.
"""

from contracts.rentals import PROCESSOR_RENTALS
from service_processor.domains.payments.handlers import on
from servicekit.service.domain import Domain

PAYMENTS = Domain(name="payments", subscription=PROCESSOR_RENTALS, handlers=on)
