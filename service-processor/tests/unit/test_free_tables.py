"""A party gets the smallest table that seats it and is free; earlier parties are served first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service_processor.seating.free_tables import Allocation, FreeTables, Party, SeatingTable

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


def at(hour: int) -> datetime:
    return NOON + timedelta(hours=hour)


def party(number: int, guests: int, begin: int, hours: int, restaurant_id: int = 1) -> Party:
    return Party(number, restaurant_id, at(begin), at(begin + hours), guests)


def test_the_first_of_two_parties_gets_the_last_table() -> None:
    tables = FreeTables([SeatingTable(7, 1, 4)])
    first, second = (tables.choose(party(number, 2, 0, 2), number) for number in (1, 2))
    assert first.allocation == Allocation(1, 7, at(0), at(2))
    assert second.allocation is None
    assert [one.allocation for one in second.obstacles] == [first.allocation]


def test_a_party_that_is_rejected_is_in_nobodys_way() -> None:
    tables = FreeTables([SeatingTable(7, 1, 4)])
    assert tables.choose(party(1, 5, 0, 2), 1).allocation is None
    assert tables.choose(party(2, 4, 0, 2), 2).allocation is not None


def test_only_tables_of_the_partys_restaurant_are_allocated() -> None:
    tables = FreeTables([SeatingTable(7, 1, 4)])
    elsewhere = tables.choose(party(1, 2, 0, 2, restaurant_id=2), 1)
    assert elsewhere.allocation is None
    assert elsewhere.obstacles == []


def test_the_first_allocation_of_a_period_is_the_obstacle() -> None:
    early, late = (Allocation(number, 7, at(number), at(number + 1)) for number in (1, 3))
    tables = FreeTables([SeatingTable(7, 1, 4, [early, late])])
    [obstacle] = tables.choose(party(1, 2, 0, 5), 9).obstacles
    assert (obstacle.seats, obstacle.allocation) == (4, early)


parties = st.lists(
    st.tuples(st.integers(1, 5), st.integers(0, 9), st.integers(1, 3)), min_size=1, max_size=30
)


@given(parties, st.lists(st.integers(1, 5), max_size=5))
def test_no_table_is_allocated_twice_and_no_party_is_refused_a_free_one(
    wanted: list[tuple[int, int, int]], seats: list[int]
) -> None:
    tables = FreeTables(SeatingTable(id_, 1, size) for id_, size in enumerate(seats))
    allocated: list[Allocation] = []
    for number, (guests, begin, hours) in enumerate(wanted):
        asked = party(number, guests, begin, hours)
        conflicts = {
            one.table_id for one in allocated if one.begin < asked.end and asked.begin < one.end
        }
        fitting = [(size, id_) for id_, size in enumerate(seats) if size >= guests]
        free = sorted((size, id_) for size, id_ in fitting if id_ not in conflicts)
        choice = tables.choose(asked, number)
        if free:
            assert choice.allocation is not None
            assert choice.allocation.table_id == free[0][1]
            allocated.append(choice.allocation)
        else:
            assert choice.allocation is None
            assert {one.allocation.table_id for one in choice.obstacles} == {
                id_ for _, id_ in fitting
            }
