"""`make pictures`: draws a results file of the bench; the same file gives the same bytes.

python -m bench.pictures [RESULTS.json [FOLDER]]      see docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from bench.results import Results, Turns
from bench.stack import FOLDER
from devstack.host.console import plain
from devstack.native.system import CHECKOUT

LATEST, SHOWN = FOLDER / "results" / "latest.json", CHECKOUT / "docs" / "pictures"
# Otherwise ids are random, and letters are outlines.
STYLE = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}


def main() -> int:
    """1 if a picture is missing, because its rows were not measured."""
    parser = argparse.ArgumentParser(prog="pictures", description="See docs/benchmarks.md.")
    parser.add_argument("results", nargs="?", type=Path, default=LATEST, metavar="RESULTS.json")
    parser.add_argument("folder", nargs="?", type=Path, default=SHOWN, metavar="FOLDER")
    options = parser.parse_args()
    try:
        results = Results(options.results)
    except (OSError, ValueError, KeyError) as error:
        plain(f"pictures: {options.results} is no results file of the bench: {error}")
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    drawn = [_draw(picture, results, options.folder) for picture in PICTURES]
    return 0 if all(drawn) else 1


def pair_load(results: Results) -> Figure | None:
    """Row `pair`: settled orders, and p99, over the rate of the open loops."""
    if not (loops := results.open_loops()):
        return None
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    rates, latencies = figure.subplots(1, 2)
    rates.plot(list(loops), list(loops), ":", color="grey", label="offered")
    _line(rates, loops, "settled", "settled")
    rates.set(title="Orders settled", ylabel="orders a second", ylim=(0, None))
    _line(latencies, loops, "settled p99", "from POST until settled")
    _line(latencies, loops, "answered p99", "from POST until answered")
    latencies.set(title="p99", ylabel="ms", yscale="log")
    latencies.yaxis.set_major_formatter("{x:,.0f}")
    latencies.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    latencies.yaxis.set_major_formatter("{x:g}")
    for axes in (rates, latencies):
        axes.set(xlabel="orders offered a second", xlim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def pair_cpu(results: Results) -> Figure | None:
    """Row `pair`: CPU an order by process, a bar for each load."""
    if not (loads := results.cpu()):
        return None
    figure = Figure(figsize=(8, 1.6 + 0.35 * len(loads)), layout="constrained")
    axes = figure.subplots()
    ends = dict.fromkeys(loads, 0.0)
    for process in dict.fromkeys(process for cpu in loads.values() for process in cpu):
        spent = {load: cpu.get(process, 0.0) for load, cpu in loads.items()}
        axes.barh(list(spent), list(spent.values()), left=list(ends.values()), label=process)
        ends = {load: end + spent[load] for load, end in ends.items()}
    axes.set(title="CPU of an order by process", xlabel="µs an order")
    axes.invert_yaxis()
    figure.legend(loc="outside right upper")
    return figure


def drain_and_consume(results: Results) -> Figure | None:
    """Rows `drain` and `consuming`: events a second, beside what they are compared with."""
    rates = {"Drain": results.rates("drain / "), "Consume": results.rates("consumer, ")}
    if not all(ours for ours, _ in rates.values()):
        return None
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    heights = [len(ours) + len(theirs) for ours, theirs in rates.values()]
    for axes, title in zip(figure.subplots(2, 1, height_ratios=heights), rates, strict=True):
        _bars(axes, *rates[title])
        axes.set(title=title, xlabel="events a second")
    return figure


PICTURES = (pair_load, pair_cpu, drain_and_consume)


def _draw(picture: Callable[[Results], Figure | None], results: Results, folder: Path) -> bool:
    path = folder / f"{picture.__name__.replace('_', '-')}.svg"
    # What the user has set as their own style changes nothing.
    with style.context(STYLE, after_reset=True):
        if (figure := picture(results)) is None:
            plain(f"{path} is not drawn, its figures are missing. {picture.__doc__}")
            return False
        figure.supxlabel(results.described(), fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plain(str(path))
    return True


def _line(axes: Axes, loops: dict[float, Turns], key: str, label: str) -> None:
    medians, distances = _spread([turns[key] for turns in loops.values()])
    axes.errorbar(list(loops), medians, yerr=distances, marker="o", capsize=3, label=label)


def _bars(axes: Axes, ours: Turns, theirs: Turns) -> None:
    medians, distances = _spread([*ours.values(), *theirs.values()])
    colors = ["tab:blue"] * len(ours) + ["silver"] * len(theirs)
    bars = axes.barh([*ours, *theirs], medians, xerr=distances, color=colors, ecolor="dimgrey")
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.margins(x=0.1)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.invert_yaxis()


def _spread(series: Collection[list[float]]) -> tuple[list[float], list[list[float]]]:
    """The medians, and how far down and up the turns go from there."""
    medians = [statistics.median(turns) for turns in series]
    pairs = list(zip(series, medians, strict=True))
    return medians, [[at - min(one) for one, at in pairs], [max(one) - at for one, at in pairs]]


if __name__ == "__main__":
    sys.exit(main())
