"""The one MetaData of this service's database."""

from outbox.jobs import declare_jobs
from service_processor import NAME
from servicekit.service.metadata import declare_service

# A table's events are in the stream of its restaurant.
metadata, outbox = declare_service(NAME, parts={"restaurant": ["table"]})
declare_jobs(metadata)
