"""service-orders: accepts requests over HTTP, and owns what they create.

Each change is one transaction with its event; service-processor does the work and answers
with events, which this service consumes. `bootstrap.py` is the only module that constructs things,
and every folder under `domains/` is one domain.
"""

NAME = "service-orders"
VERSION = "0.1.0"
