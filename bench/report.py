"""The same figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import Bench, Better, Figure, Judged
from bench.stack import FOLDER
from devstack.host.console import table

HEAD = ["figure", "measured", "compared with", "ratio", "CPU µs", "least", "aim", "reached"]


def as_table(figures: Sequence[Figure]) -> str:
    """One line per figure; remarks stand below the table."""
    lines = [table(HEAD, [_cells(figure) for figure in figures])]
    lines += [f"{figure.name}: {figure.remark}" for figure in figures if figure.remark]
    return "\n".join(lines)


def write_json(
    figures: Sequence[Figure], bench: Bench, *, seconds: float, missing: Sequence[str]
) -> Path:
    """Writes latest.json and a copy named by the time, below .local, which is never committed."""
    folder = FOLDER / "results"
    folder.mkdir(parents=True, exist_ok=True)
    result = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rounds": bench.rounds,
        "seconds": round(seconds, 1),
        "missing_rows": list(missing),
        "cores": os.cpu_count(),
        "load_before": bench.stack.load,
        "versions": bench.stack.versions,
        "postgres_settings": bench.stack.settings,
        "figures": [{**asdict(figure), "reached": figure.grade} for figure in figures],
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (folder / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json").write_text(text)
    latest = folder / "latest.json"
    latest.write_text(text)
    return latest


def _cells(figure: Figure) -> list[str]:
    compared = "" if figure.compared is None else f": {_amount(figure.compared, figure.unit)}"
    return [
        figure.name,
        _amount(figure.measured, figure.unit),
        figure.beside + compared,
        "" if figure.ratio is None else f"{figure.ratio:.2f}",
        "" if figure.cpu is None else f"{figure.cpu:.1f}",
        _bound(figure, figure.least),
        _bound(figure, figure.aim),
        figure.grade,
    ]


def _bound(figure: Figure, bound: float | None) -> str:
    if bound is None:
        return ""
    sign = "≥" if figure.better is Better.HIGHER else "≤"
    return f"{sign} {bound:g}" + (f" {figure.unit}" if figure.judged is Judged.MEASURED else "")


def _amount(number: float, unit: str) -> str:
    shown = f"{number:,.0f}" if abs(number) >= 100 else f"{number:.2f}"
    return shown + unit if unit == "×" or unit.startswith("/") else f"{shown} {unit}"
