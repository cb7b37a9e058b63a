"""The metrics that libraries and services export, as their code defines them."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


@cache
def exported() -> Mapping[str, tuple[str, ...]]:
    """By name, as it is shown, the labels of every metric."""
    found = {}
    sources = [*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("service-*/src/**/*.py")]
    texts = [text for text in (path.read_text() for path in sources) if "prometheus" in text]
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        match node:
            case ast.Call(func=ast.Name(id="Counter"), args=[ast.Constant(value=str(name)), *rest]):
                found[f"{name.removesuffix('_total')}_total"] = _labels(rest)
            case ast.Call(
                func=ast.Name(id="Gauge" | "Histogram"), args=[ast.Constant(value=str(name)), *rest]
            ):
                found[name] = _labels(rest)
    return found


def _labels(arguments: Sequence[ast.expr]) -> tuple[str, ...]:
    """Behind the description, if there are any."""
    return tuple(ast.literal_eval(arguments[1])) if len(arguments) > 1 else ()
