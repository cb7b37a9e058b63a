"""Local times of a zone, also on the days when its clock changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from servicekit.http.local_time import (
    LocalTime,
    TimeRefused,
    ZoneName,
    moment,
    period,
    shown,
)

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def at(text: str, zone: ZoneInfo = BERLIN) -> datetime:
    return moment(datetime.fromisoformat(text), zone, field="when")


def test_a_time_without_an_offset_is_local() -> None:
    assert at("2027-01-15T19:00:00") == datetime(2027, 1, 15, 18, tzinfo=UTC)
    assert at("2027-07-15T19:00:00") == datetime(2027, 7, 15, 17, tzinfo=UTC)


def test_a_time_with_an_offset_keeps_its_moment() -> None:
    assert at("2027-01-15T19:00:00-05:00") == datetime(2027, 1, 16, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone"),
    [("2027-03-28T02:30:00", BERLIN), ("2027-03-14T02:00:00", NEW_YORK)],
)
def test_a_time_that_the_clock_skips_is_refused(text: str, zone: ZoneInfo) -> None:
    with pytest.raises(TimeRefused) as refused:
        at(text, zone)
    [error] = refused.value.errors
    assert error["field"] == "when"
    assert f"does not exist in {zone.key}" in error["message"]


def test_a_time_that_the_clock_shows_twice_means_the_first() -> None:
    assert at("2027-10-31T02:30:00") == datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert at("2027-10-31T02:30:00+01:00") == datetime(2027, 10, 31, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("2027-03-28T01:00:00", "2027-03-28T04:00:00+02:00"),
        ("2027-10-31T02:00:00", "2027-10-31T03:00:00+01:00"),
    ],
)
def test_a_period_lasts_as_long_as_it_says_whatever_the_clock_does(text: str, ends: str) -> None:
    begin, end = period(datetime.fromisoformat(text), BERLIN, 120, now=LONG_AGO, field="when")
    assert end - begin == timedelta(hours=2)
    assert shown(end, BERLIN) == ends


def test_now_is_not_past_and_a_moment_ago_is() -> None:
    now = datetime(2027, 1, 1, 12, tzinfo=UTC)
    assert period(now, BERLIN, 15, now=now, field="when")[0] == now
    with pytest.raises(TimeRefused) as refused:
        period(now - timedelta(microseconds=1), BERLIN, 15, now=now, field="when")
    assert refused.value.errors[0]["message"] == "This time lies in the past."


@given(st.datetimes(timezones=st.none() | st.just(timezone(timedelta(hours=14)))))
def test_any_time_is_accepted_or_refused(given: datetime) -> None:
    try:
        begin, end = period(given, NEW_YORK, 1440, now=LONG_AGO, field="when")
    except TimeRefused:
        return
    assert begin < end
    assert datetime.fromisoformat(shown(end, NEW_YORK)) == end


@pytest.mark.parametrize("text", [1893456000, "1893456000", " -1.5e9 ", "soon", None, True])
def test_a_value_that_is_not_a_time_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(LocalTime).validate_python(text)


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "Europe", "", "/etc/localtime", "localtime", "utc\n"]
)
def test_a_name_that_is_not_a_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ZoneName).validate_python(name)


def test_every_kind_of_zone_name_is_known() -> None:
    for name in ("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Asia/Kathmandu"):
        assert TypeAdapter(ZoneName).validate_python(name) == name
