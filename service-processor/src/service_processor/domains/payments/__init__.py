"""Payments: the money of a rental, held, taken and given back at somebody else's system.

What is to be done is decided in a transaction (`policy.py`), done outside of any by a job, and
recorded with the job's end and its event in one transaction.
"""

from contracts import PROCESSOR_RENTALS
from service_processor.domains.payments.handlers import HANDLERS
from servicekit.service.domain import Domain

PAYMENTS = Domain(name="payments", subscription=PROCESSOR_RENTALS, handlers=HANDLERS)
