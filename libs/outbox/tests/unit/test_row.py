"""An aggregate keeps its bucket for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.log.row import BUCKETS, bucket_of


@pytest.mark.parametrize(("id_", "bucket"), [("a", 42), ("b", 735), ("Ω", 563)])
def test_buckets_never_change(id_: str, bucket: int) -> None:
    assert bucket_of("order", id_) == bucket


@given(st.text(), st.text())
def test_a_bucket_is_one_of_all(kind: str, id_: str) -> None:
    assert 0 <= bucket_of(kind, id_) < BUCKETS
