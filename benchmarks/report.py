"""A table on the terminal and a JSON file: each figure with its goal, its verdict, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.figure import Figure
from benchmarks.machine import machine

RESULTS = Path(__file__).with_name("results")
_LINE = "{name:<44} {value:>20}  {beside:>44}  {ratio:>6}  {goal:<18} {verdict}"
Results = Mapping[str, Sequence[Figure]]  # by the benchmarks' names


def heading() -> str:
    """Return the heads of the columns."""
    return _LINE.format(name="", value="measured", beside="beside", ratio="ratio", goal="goal", verdict="verdict")


def line(figure: Figure) -> str:
    """Return a figure as a line of the table."""
    beside = f"{_number(figure.beside_value)} {figure.beside}" if figure.beside else "-"
    return _LINE.format(
        name="  " + figure.name,
        value=f"{_number(figure.value)} {figure.unit}" if figure.rounds else "-",
        beside=beside if figure.rounds else figure.beside,
        ratio=f"{figure.ratio:.2f}" if figure.beside and figure.rounds else "-",
        goal=figure.goal.text if figure.goal else "",
        verdict=figure.verdict,
    )


def table(results: Results) -> str:
    """Return everything, and what falls short with its cause."""
    lines = [heading()]
    for name, figures in results.items():
        lines += [name, *map(line, figures)]
    short = [(name, figure) for name, figures in results.items() for figure in figures if figure.shortfall]
    lines += ["", f"{len(short)} of {sum(map(len, results.values()))} fall short of their goals."]
    lines += [f"  {name}, {figure.name}: {figure.verdict}; {figure.where}" for name, figure in short]
    return "\n".join(lines)


def record(results: Results) -> dict[str, Any]:
    """Return everything for a JSON file."""
    figures = {name: [figure.record() for figure in found] for name, found in results.items()}
    return {"machine": machine(), "figures": figures}


def save(results: Results) -> Path:
    """Write the JSON file; return where."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / "latest.json"
    path.write_bytes(orjson.dumps(record(results), option=orjson.OPT_INDENT_2))
    return path


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"
