"""A chart for each benchmark: every figure beside its rival, with the single rounds as dots and the goal as a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figure import Figure
from benchmarks.report import Results

_OURS, _BESIDE, _GOAL = "#2f6db5", "#b8bfc7", "#c0392b"
_PANEL_INCHES = 0.95


def draw(results: Results, directory: Path) -> list[Path]:
    """Write an SVG for each benchmark; return the paths, none if matplotlib is not installed."""
    try:
        import matplotlib

        matplotlib.use("svg")
    except ImportError:
        return []
    directory.mkdir(exist_ok=True)
    measured = {name: [one for one in figures if one.rounds] for name, figures in results.items()}
    return [_draw(name, figures, directory / f"{name}.svg") for name, figures in measured.items() if figures]


def _draw(name: str, figures: Sequence[Figure], path: Path) -> Path:
    from matplotlib import pyplot

    height = 0.8 + _PANEL_INCHES * len(figures)
    picture, panels = pyplot.subplots(len(figures), figsize=(9, height), squeeze=False, layout="constrained")
    picture.suptitle(name)
    for panel, figure in zip(panels.flat, figures, strict=True):
        _panel(panel, figure)
    picture.savefig(path)
    pyplot.close(picture)
    return path


def _panel(panel: Any, figure: Figure) -> None:
    bars = [("asyncflow", figure.value, "ours", _OURS)]
    if figure.beside:
        bars.append((figure.beside, figure.beside_value, "beside", _BESIDE))
    bars.reverse()
    for place, (_, value, rounds, colour) in enumerate(bars):
        panel.barh(place, value, color=colour)
        dots = figure.details.get(rounds, [])
        panel.plot(dots, [place] * len(dots), ".", color="black", markersize=3)
    if (bound := _bound(figure)) is not None:
        panel.axvline(bound, color=_GOAL, linewidth=1, linestyle="--")
    panel.set_yticks(range(len(bars)), [label for label, *_ in bars], fontsize=7)
    panel.tick_params(axis="x", labelsize=7)
    goal = f"; goal {figure.goal.text}: {figure.verdict}" if figure.goal else ""
    panel.set_title(f"{figure.name}, {figure.unit}{goal}", fontsize=8, loc="left")
    panel.spines[["top", "right"]].set_visible(False)


def _bound(figure: Figure) -> float | None:
    """Return the value at which the goal is met."""
    goal = figure.goal
    if goal is None or goal.least_ratio is None:
        return goal.most_value if goal else None
    less_is_better = (figure.ratio >= 1) != (figure.value >= figure.beside_value)
    return figure.beside_value / goal.least_ratio if less_is_better else figure.beside_value * goal.least_ratio
