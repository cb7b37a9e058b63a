"""Counting answers, compared with a table of tags."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from outbox.publisher.confirms import Confirms
from outbox.publisher.publisher import Outcome

A, N, R, T = Outcome.ACKED, Outcome.NACKED, Outcome.RETURNED, Outcome.TIMED_OUT
ANSWERS = st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans()), max_size=40)


@given(st.lists(st.integers(0, 9), max_size=5), ANSWERS, st.sets(st.integers(1, 30)))
def test_each_tag_keeps_its_first_answer_in_any_order_of_answers(
    sizes: list[int], answers: list[tuple[int, bool, bool]], returned: set[int]
) -> None:
    confirms, windows = Confirms(), []
    expected: dict[int, Outcome] = {}
    for size in sizes:
        first = len(expected) + 1
        expected |= dict.fromkeys(range(first, first + size), T)
        windows.append(confirms.open_window([b"%d" % (first + n) for n in range(size)]))
    for tag in returned & expected.keys():
        confirms.mark_returned(b"%d" % tag)
        expected[tag] = R
    for tag, multiple, acked in answers:
        if tag not in expected:
            continue
        confirms.answer(tag, A if acked else N, multiple=multiple)
        for answered in range(1 if multiple else tag, tag + 1):
            if expected[answered] is T:
                expected[answered] = A if acked else N
    assert [o for window in windows for o in window.outcomes()] == list(expected.values())
    for window in windows:
        assert window.answered.is_set() == (T not in window.outcomes())


def test_the_end_of_the_channel_ends_the_wait_and_keeps_the_answers() -> None:
    confirms = Confirms()
    window = confirms.open_window([b"1", b"2", b"3"])
    confirms.answer(2, A, multiple=False)
    confirms.end(Outcome.CLOSED)
    assert window.answered.is_set()
    assert window.outcomes() == [Outcome.CLOSED, A, Outcome.CLOSED]
    confirms.answer(3, A, multiple=True)
    assert window.outcomes() == [Outcome.CLOSED, A, Outcome.CLOSED]
