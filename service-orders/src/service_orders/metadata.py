"""The one MetaData of this service's database."""

from service_orders import NAME
from servicekit.service.metadata import declare_service

metadata, outbox = declare_service(NAME)
