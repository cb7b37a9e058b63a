"""Which table a party gets: the smallest one that seats it and is free. Pure.

Parties are served in the order in which they are asked for: what one gets is in the next one's way.
Invariant: the allocations of a table do not overlap, so their beginnings and their ends have the
same order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Party:
    """A number of guests who want to sit in a restaurant from `begin` until before `end`."""

    booking_id: int
    restaurant_id: int
    begin: datetime
    end: datetime
    guests_count: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """A table is kept from `begin` until before `end`."""

    id: int
    table_id: int
    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A table that is big enough, and the allocation that keeps it in the period."""

    seats: int
    allocation: Allocation


@dataclass(frozen=True, slots=True)
class Choice:
    """The new allocation, or one obstacle for each table that is big enough."""

    allocation: Allocation | None
    obstacles: Sequence[Obstacle] = ()


@dataclass(frozen=True, slots=True)
class SeatingTable:
    """A table, and its allocations in the periods that are asked about, by time."""

    id: int
    restaurant_id: int
    seats: int
    allocations: list[Allocation] = field(default_factory=list)

    def conflict(self, party: Party) -> Allocation | None:
        """The first allocation in the party's way."""
        index = self._index(party.begin)
        found = self.allocations[index] if index < len(self.allocations) else None
        return found if found is not None and found.begin < party.end else None

    def add(self, allocation: Allocation) -> None:
        """Keep the table; nothing conflicts with it."""
        self.allocations.insert(self._index(allocation.begin), allocation)

    def _index(self, begin: datetime) -> int:
        """The index of the first allocation that ends later."""
        return bisect_right(self.allocations, begin, key=lambda one: one.end)


class FreeTables:
    """The tables of some restaurants, from the smallest up."""

    def __init__(self, tables: Iterable[SeatingTable]) -> None:
        self._tables: defaultdict[int, list[SeatingTable]] = defaultdict(list)
        for table in sorted(tables, key=lambda one: (one.seats, one.id)):
            self._tables[table.restaurant_id].append(table)

    def choose(self, party: Party, allocation_id: int) -> Choice:
        """Allocate a table, or find out what keeps each table that is big enough."""
        obstacles: list[Obstacle] = []
        for table in self._tables[party.restaurant_id]:
            if table.seats < party.guests_count:
                continue
            conflict = table.conflict(party)
            if conflict is None:
                chosen = Allocation(allocation_id, table.id, party.begin, party.end)
                table.add(chosen)
                return Choice(chosen)
            obstacles.append(Obstacle(table.seats, conflict))
        return Choice(None, sorted(obstacles, key=lambda one: one.allocation.table_id))
