"""Every endpoint of a domain has the usual kind, so no request pays for the others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fastapi.routing import iter_route_contexts

import service_orders.domains
import service_processor.domains
from servicekit.http.direct_calls import DirectCall
from servicekit.service.domain import Domain, routers_of


@pytest.mark.parametrize(
    "domains", [service_orders.domains.DOMAINS, service_processor.domains.DOMAINS]
)
def test_every_endpoint_of_a_domain_is_called_directly(domains: Sequence[Domain]) -> None:
    for router in routers_of(domains):
        for context in iter_route_contexts(router.routes):
            DirectCall(context)
