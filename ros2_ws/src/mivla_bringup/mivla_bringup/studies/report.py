"""A study's table, in Markdown, and its picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mivla_bringup.studies.plan import Study
from mivla_bringup.studies.results import Rate, Row, rate_of

Table = dict[tuple[str, str], Rate]


def tabulate(study: Study, rows: Sequence[Row]) -> Table:
    """{(line, column): rate}, in the order of the rows."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((study.line(row), study.column(row)), []).append(row)
    return {key: rate_of(group) for key, group in groups.items()}


def markdown(study: Study, rows: Sequence[Row]) -> str:
    """Success rates with 95 % intervals; each seed's rate stands below."""
    table = tabulate(study, rows)
    lines, columns = _axes(table)
    some = next(iter(table.values()))
    text = [
        f"### {study.title}",
        "",
        f"Success rate, 95 % intervals: Wilson's of {some.trials} trials, then a bootstrap's over seeds and trials; "
        f"in brackets the rate of each of {len(some.by_seed)} seeds; C is the share of sub-tasks done.",
        "",
        f"| | {' | '.join(columns)} |",
        f"|---{'|---' * len(columns)}|",
    ]
    for line in lines:
        cells = [_cell(table[line, column]) if (line, column) in table else "" for column in columns]
        text.append(f"| {line} | {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def draw(study: Study, rows: Sequence[Row], path: Path) -> None:
    """Bars with intervals, a group a column, and a dot for each seed, to a PNG at `path`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    table = tabulate(study, rows)
    if len(_axes(table)[1]) == 1:  # one column: its lines stand side by side, under their own names
        table = {("", line): rate for (line, _), rate in table.items()}
    lines, columns = _axes(table)
    figure, axes = pyplot.subplots(figsize=(min(12.0, max(5.0, 1.1 * len(table))), 3.4), layout="constrained")
    width = 0.8 / len(lines)
    for i, line in enumerate(lines):
        known = [j for j, column in enumerate(columns) if (line, column) in table]
        rates = [table[line, columns[j]] for j in known]
        at = np.array(known) + (i - (len(lines) - 1) / 2) * width
        _bars(axes, at, rates, width, line, f"C{i}")
    axes.set_xticks(range(len(columns)), columns)
    axes.set(ylim=(0, 100), ylabel="success rate [%]", title=study.title)
    if len(lines) > 1:
        figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    axes.grid(axis="y", alpha=0.2)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _bars(axes, at: np.ndarray, rates: list[Rate], width: float, label: str, colour: str) -> None:
    middle = np.array([100 * rate.rate for rate in rates])
    # The wider of both, which is never of no width.
    either = [(rate.interval, rate.over_seeds) for rate in rates]
    low, high = 100 * np.array([(min(a[0], b[0]), max(a[1], b[1])) for a, b in either]).T
    axes.bar(at, middle, 0.9 * width, color=colour, alpha=0.6, label=label)
    errors = [np.maximum(middle - low, 0), np.maximum(high - middle, 0)]
    axes.errorbar(at, middle, errors, fmt="none", ecolor="black", capsize=3, linewidth=1)
    for x, rate in zip(at, rates, strict=True):
        axes.plot(
            np.full(len(rate.by_seed), x),
            100 * np.array(rate.by_seed),
            ".",
            color=colour,
            markeredgecolor="black",
        )


def _axes(table: Table) -> tuple[list[str], list[str]]:
    return list(dict.fromkeys(line for line, _ in table)), list(dict.fromkeys(column for _, column in table))


def _cell(rate: Rate) -> str:
    seeds = ", ".join(f"{100 * value:.0f}" for value in rate.by_seed)
    low, high = rate.over_seeds
    return f"{rate}, {100 * low:.0f} to {100 * high:.0f} [{seeds}] C {100 * rate.completeness:.0f} %"
