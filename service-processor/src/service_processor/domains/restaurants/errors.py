"""The refusals of requests about restaurants, tables and reservations."""

from __future__ import annotations

from servicekit.service.rows import NotFound


class RestaurantNotFound(NotFound):
    """There is no restaurant with this id, or no restaurant at all."""

    noun = "restaurant"

    def __init__(self, id_: object) -> None:
        super().__init__("yet" if id_ is None else id_)


class TableNotFound(NotFound):
    """There is no table with this id, or it was deleted."""

    noun = "table"


class ReservationNotFound(NotFound):
    """There is no reservation with this id, or it was deleted."""

    noun = "reservation"


class TableInUse(ValueError):
    """The table is still needed. `period` is the first period that needs it."""

    def __init__(self, table_id: int, begin: str, end: str) -> None:
        self.period = {"from": begin, "until": end}
        super().__init__(f"Table {table_id} is taken from {begin} until {end}; it cannot go.")


class TableAlreadyReserved(ValueError):
    """Somebody else holds the table in the requested period. `period` is the conflicting one."""

    def __init__(self, table_id: int, begin: str, end: str) -> None:
        self.period = {"from": begin, "until": end}
        super().__init__(f"Table {table_id} is taken from {begin} until {end}.")


class Obstructed(Exception):
    """The database refused because of an allocation; the caller looks up which one."""
