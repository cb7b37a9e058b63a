"""The contracts of the way back have the bodies that the library writes and reads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts import Contract, streams
from outbox import resend_events

PAIRS = [(sample, getattr(resend_events, type(sample).__name__)) for sample in streams.SAMPLES]


@pytest.mark.parametrize(("sample", "library"), PAIRS, ids=lambda one: getattr(one, "type", one))
def test_the_library_reads_and_writes_what_the_contract_says(
    sample: Contract, library: Any
) -> None:
    for name in ("type", "version", "aggregate_type"):
        assert getattr(library, name) == getattr(sample, name)
    read = library.parse(sample.payload())
    assert read.aggregate_id == sample.aggregate_id
    assert type(sample).parse(read.payload()) == sample
    assert json.loads(read.payload()).keys() == json.loads(sample.payload()).keys()
