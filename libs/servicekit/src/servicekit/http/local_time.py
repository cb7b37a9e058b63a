"""Local times of a time zone: a time without an offset is local, across changes of the clock.

A local time that the clock skips does not exist and is refused. A time that the clock shows twice
means the first one (PEP 495, `fold=0`). A period lasts real time, whatever the clock does.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from servicekit.http.fields import Text, refuse_number
from servicekit.http.problems import ProblemSpec

__all__ = [
    "REFUSED_TIME",
    "LocalTime",
    "ShownTime",
    "TimeRefused",
    "ZoneName",
    "moment",
    "period",
    "shown",
]

# A year to spare, so that no offset moves an end past the last datetime.
_LAST = datetime.max.replace(tzinfo=UTC) - timedelta(days=366)

REFUSED_TIME = ProblemSpec(422, "validation_failed", members=("errors",))


class TimeRefused(ValueError):
    """A well-formed time in a request that cannot be accepted."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__("1 value is not acceptable; see errors.")
        self.errors = [{"field": field, "message": message}]


def moment(given: datetime, zone: ZoneInfo, *, field: str) -> datetime:
    """Return the moment in UTC that a local time means. Raises `TimeRefused` naming the field."""
    try:
        if given.tzinfo is not None:
            return given.astimezone(UTC)
        found = given.replace(tzinfo=zone, fold=0).astimezone(UTC)  # see decision 0602
        exists = found.astimezone(zone).replace(tzinfo=None, fold=0) == given.replace(fold=0)
    except OverflowError:
        raise TimeRefused(field, "This time is out of range.") from None
    if not exists:
        message = f"This time does not exist in {zone.key}: the clock is put forward over it."
        raise TimeRefused(field, message)
    return found


def period(
    given: datetime, zone: ZoneInfo, minutes: int, *, now: datetime, field: str
) -> tuple[datetime, datetime]:
    """Return the first moment of a period and the moment after it, in UTC; the past is refused."""
    begin = moment(given, zone, field=field)
    if begin < now:
        raise TimeRefused(field, "This time lies in the past.")
    if begin > _LAST:
        raise TimeRefused(field, "This time is out of range.")
    return begin, begin + timedelta(minutes=minutes)


def shown(when: datetime, zone: ZoneInfo) -> str:
    """Return RFC 3339 with the zone's offset: 2026-05-01T19:00:00+02:00."""
    return when.astimezone(zone).isoformat()


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # Some systems also list the file that holds the machine's own zone.
    return frozenset(available_timezones()) - {"localtime"}


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("There is no time zone of this name; one is Europe/Berlin.")
    return name


_JSON_TIME = {"type": "string", "format": "date-time"}

LocalTime = Annotated[datetime, BeforeValidator(refuse_number), WithJsonSchema(_JSON_TIME)]
"""A time in a request; without an offset it is local. See `moment`."""

ShownTime = Annotated[
    str, WithJsonSchema({**_JSON_TIME, "examples": ["2026-05-01T19:00:00+02:00"]})
]
"""A time in an answer, as `shown` writes it."""

ZoneName = Annotated[str, Text(1, 100), AfterValidator(_known_zone)]
"""The name of an IANA time zone."""
