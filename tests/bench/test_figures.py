"""What the table says about a figure."""

from __future__ import annotations

import pytest

from bench.figures import Better, Figure, Judged, compare, setting
from bench.open_loop_load import percentile


def test_a_ratio_is_the_median_of_neighbours() -> None:
    assert compare([10, 1, 30], [10, 2, 10]) == 1.0


@pytest.mark.parametrize(("ratio", "grade"), [(0.95, "aim"), (0.7, "least"), (0.6, "missed")])
def test_a_ratio_is_held_against_its_bounds(ratio: float, grade: str) -> None:
    assert Figure("f", 1, "/s", ratio=ratio, least=0.65, aim=0.95).grade == grade


@pytest.mark.parametrize(("measured", "grade"), [(12, "aim"), (25, "least"), (25.1, "missed")])
def test_a_cost_is_good_when_it_is_low(measured: float, grade: str) -> None:
    figure = Figure(
        *("f", measured, "µs"),
        least=25,
        aim=12,
        judged=Judged.MEASURED,
        better=Better.LOWER,
    )
    assert figure.grade == grade


def test_a_figure_without_bounds_is_not_judged() -> None:
    assert Figure("f", 1, "/s", ratio=0.1).grade == ""


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile([7], 99)) == (51, 100, 7)


@pytest.mark.parametrize("given", ["many", "-1", "0", "99999999"])
def test_a_setting_out_of_bounds_ends_the_bench(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_EVENTS", given)
    with pytest.raises(SystemExit):
        setting("BENCH_EVENTS", 1)
