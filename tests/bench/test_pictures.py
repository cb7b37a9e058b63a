"""The pictures show what a results file says. All figures here are made up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.figures import Figure
from bench.pair_loads import Lag, Measured
from bench.results import Results
from bench.rows.pair import FLAT, load_figure
from bench.waiting_events import WaitingEvents

ROOT = Path(__file__).parents[2]


def measured(settled: float, offered: float | None = None) -> Measured:
    lag = Lag(0, WaitingEvents(0, 0))
    cpu = {"orders-api": 100 + settled, "postgres": 900.0, "load generator": 50.0}
    return Measured(settled, (5, 20), (10, 40), cpu, 0.1, True, lag, 9, 0, offered)


def loads() -> list[Figure]:
    return [
        load_figure(FLAT, [measured(99, 100)], [1000]),
        load_figure("pair: 16 clients", [measured(300)], [1000]),
        load_figure("pair: 200 a second", [measured(n, 200) for n in (150, 190, 180)], [1000] * 3),
        load_figure("pair: 100 a second", [measured(99, 100)], [1000]),
        Figure("pair: POST p99", 9, "ms", turns={"pair: POST p99": [9]}),
    ]


RATES = [
    Figure("drain / ceiling", 2, "/s", "C client", turns={"relay": [1, 2, 3], "ceiling": [4.0]}),
    Figure("relay CPU per event", 2, "µs", turns={"relay": [7.0], "textbook relay": [9.0]}),
    Figure("drain / textbook relay", 2, "/s", "textbook", turns={"relay": [1, 2, 3], "t": [0.5]}),
    Figure("consumer, handle", 8, "/s", "queue", turns={"consumer, handle": [8], "queue": [1]}),
]


def written(folder: Path, figures: Sequence[Figure]) -> Path:
    result = {
        "at": "2026-11-26T12:55:00Z",
        "rounds": 1,
        "cores": 2,
        "load_before": 0.1,
        "versions": {"PostgreSQL": "18.6"},
        "figures": [asdict(figure) for figure in figures],
    }
    path = folder / "results.json"
    path.write_text(json.dumps(result))
    return path


def test_open_loops_are_known_by_the_rate_they_offered(tmp_path: Path) -> None:
    loops = Results(written(tmp_path, loads())).open_loops()
    assert {rate: turns["settled"] for rate, turns in loops.items()} == {
        100: [99],
        200: [150, 190, 180],
    }
    assert list(loops) == [100, 200]
    assert loops[200]["settled p99"] == [40, 40, 40]


def test_each_load_has_the_median_cpu_of_the_systems_processes(tmp_path: Path) -> None:
    assert Results(written(tmp_path, loads())).cpu() == {
        "16 clients": {"orders-api": 400, "postgres": 900},
        "200 a second": {"orders-api": 280, "postgres": 900},
        "100 a second": {"orders-api": 199, "postgres": 900},
    }


def test_rates_stand_beside_all_that_they_are_compared_with(tmp_path: Path) -> None:
    ours, theirs = Results(written(tmp_path, RATES)).rates("drain / ")
    assert ours == {"relay": [1, 2, 3]}
    assert theirs == {"C client": [4], "textbook": [0.5]}


def draw(results: Path, folder: Path, seed: str = "0") -> subprocess.CompletedProcess[str]:
    pytest.importorskip("matplotlib", reason="`make pictures` installs what draws")
    return subprocess.run(
        [sys.executable, "-m", "bench.pictures", results, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_same_results_give_the_same_bytes_with_text_as_text(tmp_path: Path) -> None:
    results = written(tmp_path, [*loads(), *RATES])
    pictures = []
    for seed in ("1", "2"):
        done = draw(results, tmp_path / seed, seed)
        assert done.returncode == 0, done.stderr
        pictures.append({path.name: path.read_text() for path in (tmp_path / seed).iterdir()})
    assert pictures[0] == pictures[1]
    assert sorted(pictures[0]) == ["drain-and-consume.svg", "pair-cpu.svg", "pair-load.svg"]
    assert ">orders-api</text>" in pictures[0]["pair-cpu.svg"]
    assert ">C client</text>" in pictures[0]["drain-and-consume.svg"]
    assert not any("<dc:date>" in text for text in pictures[0].values())


def test_a_picture_whose_rows_were_not_measured_is_named(tmp_path: Path) -> None:
    done = draw(written(tmp_path, loads()), tmp_path)
    assert done.returncode == 1
    assert (
        "drain-and-consume.svg is not drawn, its figures are missing. Rows `drain`" in done.stdout
    )
    assert (tmp_path / "pair-load.svg").exists()


def test_a_file_that_the_bench_did_not_write_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    done = draw(tmp_path / "other.json", tmp_path)
    assert done.returncode == 2
    assert done.stdout.endswith("other.json is no results file of the bench: 'figures'\n")
