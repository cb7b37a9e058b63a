"""The floor: restaurants, their tables, and tables reserved by name."""

from service_processor.domain import Domain
from service_processor.domains.floor.api import PROBLEMS, router

FLOOR = Domain(name="floor", router=router, problems=PROBLEMS)
