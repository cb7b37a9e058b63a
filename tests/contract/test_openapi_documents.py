"""Whatever either OpenAPI document allows or forbids is answered as the document says.

25 random cases of each operation and a fixed seed; SCHEMATHESIS_EXAMPLES and SCHEMATHESIS_SEED
change both. Boundary values and examples of each parameter come on top.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from documents import AnyCase, Tries, tried
from live_services import Live, document

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "25"))
SEED = int(os.environ.get("SCHEMATHESIS_SEED", "20261121"))
DOCUMENTS = {
    name: tried(document(name), examples=EXAMPLES, seed=SEED) for name in ("orders", "processor")
}

pytestmark = pytest.mark.timeout(60 + EXAMPLES)


@pytest.fixture(scope="module")
def tries(orders: Live, processor: Live) -> Iterator[dict[str, Tries]]:
    """Both services, keyed by the title of their documents."""
    httpx.put(f"{processor.base}/api/v1/products/0", json={"stock": 1}).raise_for_status()
    live = {"service-orders": Tries(orders), "service-processor": Tries(processor)}
    yield live
    for one in live.values():
        one.session.close()


@schemathesis.pytest.parametrize(**DOCUMENTS)
def test_every_answer_is_as_documented(case: AnyCase, tries: dict[str, Tries]) -> None:
    tries[case.operation.schema.raw_schema["info"]["title"]].run(case)


def test_every_operation_succeeded_at_least_once(tries: dict[str, Tries]) -> None:
    for one in tries.values():
        for (label, status), count in sorted(one.answers.items()):
            print(f"{label:40} {status} {count:6}")
    answered = {label for one in tries.values() for label, status in one.answers if status < 300}
    assert answered == {
        f"{method.upper()} {path}"
        for schema in DOCUMENTS.values()
        for path, operations in schema.raw_schema["paths"].items()
        for method in operations
    }


@pytest.mark.parametrize("name", list(DOCUMENTS))
def test_the_document_tried_is_the_document_served(
    name: str, request: pytest.FixtureRequest
) -> None:
    live: Live = request.getfixturevalue(name)
    assert httpx.get(f"{live.base}/openapi.json").json() == DOCUMENTS[name].raw_schema
