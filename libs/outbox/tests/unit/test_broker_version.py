"""A version of the broker is known to work, or somebody is told why not."""

from __future__ import annotations

import pytest

from outbox.rabbitmq.broker_version import trouble_with


@pytest.mark.parametrize("version", ["3.10.8", "3.13.7", "4.0.5", "4.2.9", "4.3.6", "4.10.0"])
def test_of_a_version_that_works_nothing_is_said(version: str) -> None:
    assert trouble_with(version, single_active=True) is None


@pytest.mark.parametrize("version", ["3.9.29", "3.8.2", "2.12"])
def test_a_version_older_than_the_oldest_that_was_tested_is_a_trouble(version: str) -> None:
    trouble = trouble_with(version, single_active=False)
    assert trouble is not None
    assert "older than 3.10" in trouble.says
    assert not trouble.breaks


@pytest.mark.parametrize("version", ["4.3.0", "4.3.0-rc.1", "4.3.5", "4.3.5+7.gdeadbee"])
def test_a_version_that_stops_single_active_consumers_breaks_only_those(version: str) -> None:
    with_one = trouble_with(version, single_active=True)
    without = trouble_with(version, single_active=False)
    assert with_one is not None
    assert without is not None
    assert (with_one.breaks, without.breaks) == (True, False)
    assert "17317" in with_one.says
    assert "none is declared here" in without.says


@pytest.mark.parametrize("version", ["", "unknown"])
def test_a_broker_without_a_version_is_a_trouble(version: str) -> None:
    trouble = trouble_with(version, single_active=False)
    assert trouble is not None
    assert "does not say" in trouble.says
