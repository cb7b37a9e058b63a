"""The watermark never rises past an id that may still appear."""

from __future__ import annotations

from outbox.relay.watermark import LowWatermark

NO_WRITERS: frozenset[bytes] = frozenset()


def after_read(watermark: LowWatermark, last: int | None) -> int:
    watermark.rise(last)
    return watermark.value


def test_the_watermark_rises_only_when_all_that_may_have_drawn_below_it_are_over() -> None:
    watermark = LowWatermark()
    watermark.observe(5, frozenset([b"3/7", b"4/1"]))
    assert after_read(watermark, None) == 0
    watermark.observe(8, frozenset([b"4/1", b"5/5"]))
    assert after_read(watermark, None) == 0, "4/1 may bring ids below 5"
    watermark.observe(9, frozenset([b"5/5"]))
    assert after_read(watermark, None) == 5
    watermark.observe(9, NO_WRITERS)
    assert after_read(watermark, None) == 9


def test_the_watermark_rises_at_once_when_no_transaction_writes() -> None:
    watermark = LowWatermark()
    watermark.observe(7, NO_WRITERS)
    assert after_read(watermark, None) == 7


def test_the_watermark_rises_no_further_than_what_was_read() -> None:
    watermark = LowWatermark()
    watermark.observe(100, NO_WRITERS)
    assert after_read(watermark, 50) == 50
    assert after_read(watermark, 80) == 80
    assert after_read(watermark, None) == 100


def test_lowering_never_raises_the_watermark() -> None:
    watermark = LowWatermark(value=100)
    watermark.lower(None)
    watermark.lower(41)
    assert watermark.value == 40
    watermark.lower(90)
    assert watermark.value == 40
