"""What the pictures show of a results file: series of numbers, without a plotting library."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from bench.figures import TURNS
from bench.process_usage import LOAD
from bench.rows.pair import FLAT

Turns = dict[str, list[float]]
"""By name, one number for each turn."""
_CPU = "CPU µs "


class Results:
    """A file that the bench wrote."""

    def __init__(self, path: Path) -> None:
        self._result = json.loads(path.read_text())
        self._figures: list[dict[str, Any]] = self._result["figures"]

    def described(self) -> str:
        """When and on what it was measured."""
        result = self._result
        versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
        return (
            f"{result['at'][:10]}, {versions}, {result['cores']} cores, "
            f"load {result['load_before']:.2f} before; medians of {result['rounds'] * TURNS} turns"
        )

    def open_loops(self) -> dict[float, Turns]:
        """The loads of `pair` at fixed rates, by the rate that is offered, lowest first."""
        loops = {load["offered"]: load["turns"] for load in self._loads() if load.get("offered")}
        return dict(sorted(loops.items()))

    def cpu(self) -> dict[str, dict[str, float]]:
        """By load of `pair`, the median of each process in microseconds an order."""
        return {
            load["name"].removeprefix("pair: "): {
                key.removeprefix(_CPU): statistics.median(values)
                for key, values in load["turns"].items()
                if key.startswith(_CPU) and key != _CPU + LOAD
            }
            for load in self._loads()
        }

    def rates(self, beginning: str) -> tuple[Turns, Turns]:
        """Events a second of the figures with such names, and of what they are compared with."""
        ours: Turns = {}
        theirs: Turns = {}
        for figure in self._figures:
            if figure["name"].startswith(beginning):
                (name, ours[name]), (_, theirs[figure["beside"]]) = figure["turns"].items()
        return ours, theirs

    def _loads(self) -> list[dict[str, Any]]:
        """The figures of `pair` that are of one load, each load once."""
        return [
            figure
            for figure in self._figures
            if figure["name"] != FLAT and any(key.startswith(_CPU) for key in figure["turns"])
        ]
