"""Entity tags and the headers that name them."""

from __future__ import annotations

import pytest

from servicekit.http.etags import etag, if_match, if_none_match


@pytest.mark.parametrize("header", ['"7"', ' "6" , "7"', "*", None])
def test_the_version_that_is_meant_is_matched(header: str | None) -> None:
    assert if_match(header, 7)


@pytest.mark.parametrize("header", ['"6"', "7", "", 'W/"7"', '"77"', '"7', "**"])
def test_another_version_or_nonsense_or_a_weak_tag_is_not_matched(header: str) -> None:
    assert not if_match(header, 7)


@pytest.mark.parametrize("header", ['"7"', 'W/"7"', '"6", W/"7"', "*"])
def test_the_callers_version_is_found_among_its_tags(header: str) -> None:
    assert if_none_match(header, 7)


@pytest.mark.parametrize("header", [None, '"6"', "7", ""])
def test_a_version_that_the_caller_lacks_is_not_found(header: str | None) -> None:
    assert not if_none_match(header, 7)


def test_a_tag_is_quoted() -> None:
    assert etag(7) == '"7"'
