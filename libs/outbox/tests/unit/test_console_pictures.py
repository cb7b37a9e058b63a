"""The flow's picture and the plots: what is drawn from which figures, and hostile names as text."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from outbox.console import figures
from outbox.console.flow_picture import Arrow, Band, Leg, Trouble, draw, troubles
from outbox.console.plots import Line, plot

HOSTILE = """<script>alert("1")</script>'&"""


def band(**changes: object) -> Band:
    values: dict[str, object] = {
        "service": "orders",
        "exchange": "orders",
        "writing": Arrow(rate=12.0),
        "publishing": Arrow(rate=12.0, waiting=0, p50=0.004, p99=0.02, times="commit to confirm"),
        "legs": (Leg("kitchen.orders", "kitchen", Arrow(waiting=3), Arrow(rate=4.25)),),
    }
    return Band(**(values | changes))  # type: ignore[arg-type]


def texts(svg: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter("text")]


def titles(svg: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(svg).iter("title")]


def test_the_picture_shows_rates_times_and_what_is_ready() -> None:
    drawn = texts(draw([band()]))

    assert "12/s · 4 ms / 20 ms" in drawn
    assert "3 ready" in drawn
    assert "4.2/s" in drawn


def test_a_title_says_all_figures_of_an_arrow_in_words() -> None:
    slow = Arrow(rate=1.0, waiting=7, oldest=90, p50=0.5, p99=2, times="commit to confirm")

    [said] = [one for one in titles(draw([band(publishing=slow)])) if "commit" in one]

    assert said == (
        "From outbox of orders to orders: 1/s; commit to confirm p50 500 ms, p99 2.0 s;"
        " 7 waiting; the oldest for 1 min 30 s"
    )


def test_trouble_is_marked_with_its_reason_and_links_to_where_it_is_mended() -> None:
    broken = Arrow(rate=0.0, trouble=Trouble("no relay is connected", "/outbox?service=orders"))

    root = ElementTree.fromstring(draw([band(publishing=broken)]))

    [link] = root.findall("a")
    assert link.get("href") == "/outbox?service=orders"
    assert "trouble" in (link.find("g") or root).get("class", "")
    assert "no relay is connected" in texts(ElementTree.tostring(root, "unicode"))


def test_troubles_are_listed_once_each_in_the_order_of_the_picture() -> None:
    first, second = Trouble("a", "/a"), Trouble("b", "/b")
    legs = tuple(Leg(f"q{n}", "c", Arrow(), Arrow(trouble=second)) for n in range(2))

    assert troubles([band(publishing=Arrow(trouble=first), legs=legs)]) == [first, second]


def test_names_and_reasons_are_text_whatever_they_contain() -> None:
    hostile = band(
        service=HOSTILE,
        exchange=HOSTILE,
        publishing=Arrow(trouble=Trouble(HOSTILE, f"/x?{HOSTILE}")),
        legs=(Leg(HOSTILE, HOSTILE, Arrow(), Arrow(control=HOSTILE), HOSTILE),),
    )

    root = ElementTree.fromstring(draw([hostile]))

    assert not [one for one in root.iter() if one.tag == "script"]
    assert any(HOSTILE in title for title in titles(draw([hostile])))


def test_a_plot_breaks_its_line_where_nothing_was_measured() -> None:
    line = Line("orders", [(30, 1.0), (20, 2.0), (15, None), (10, 3.0), (0, 1.0)])

    root = ElementTree.fromstring(plot("Published", [line], figures.rate))

    assert len(list(root.iter("polyline"))) == 2
    assert root.get("aria-label") == ("Published, last hour: orders 1/s now, 3/s at most")


def test_a_plot_without_points_says_that_nothing_is_measured_yet() -> None:
    root = ElementTree.fromstring(plot("Parked", [Line("orders", [])], str))

    assert root.get("aria-label") == "Parked, last hour: orders not measured yet"


def test_points_of_a_plot_stay_inside_of_it() -> None:
    root = ElementTree.fromstring(plot("x", [Line("a", [(9_999, 0.0), (0, 123.4)])], str))

    [line] = root.iter("polyline")
    points = [tuple(map(float, one.split(","))) for one in (line.get("points") or "").split()]
    _, _, width, height = map(int, (root.get("viewBox") or "").split())
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.0034, "3 ms"),
        (2.14, "2.1 s"),
        (250, "4 min 10 s"),
        (3 * 3600, "3 h"),
        (100 * 3600, "4 d 4 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float | None, said: str) -> None:
    assert figures.duration(seconds) == said


def test_numbers_rates_and_sizes_are_short() -> None:
    assert figures.number(1_234_567) == "1\u202f234\u202f567"
    assert [figures.rate(one) for one in (None, 0, 0.44, 12.6)] == ["–", "0/s", "0.4/s", "13/s"]
    assert [figures.octets(one) for one in (512, 1_500, 23 * 2**20)] == [
        "512 B",
        "1.5 KiB",
        "23 MiB",
    ]
