"""A study's trials: one row each, their file, and what they come to."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from mivla_bringup.trials.metrics import wilson_interval

BOOTSTRAPS = 10_000


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        pretraining, shots, seed: the policy.
        condition: of the scene.
        trial: from 0.
        scene: the scene's seed.
        success: 1 where all sub-tasks were done in time, else 0.
        completeness: share of sub-tasks done.
        time_s: simulated seconds to success, to the limit, or to where it was given up.
        ended_by: "success", "time", or where it was given up "lost" (it could no longer be done) or "still" (the
            robot no longer moved); "" in files of before.
    """

    pretraining: str
    shots: int
    seed: int
    condition: str
    trial: int
    scene: int
    success: int
    completeness: float
    time_s: float
    ended_by: str = ""


@dataclass(frozen=True)
class Rate:
    """Success over all seeds, and each seed's own rate.

    Attributes:
        interval: 95 %, Wilson's of the pooled trials, which takes them for independent.
        over_seeds: 95 %, of a bootstrap that draws seeds, and trials of each: what training adds is in it. It is of no
            width where all seeds have the same result in all trials.
    """

    rate: float
    interval: tuple[float, float]
    by_seed: tuple[float, ...]
    completeness: float
    trials: int
    over_seeds: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.rate:.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def rate_of(rows: Sequence[Row]) -> Rate:
    """What at least one row comes to.

    Raises:
        ValueError: there is none.
    """
    successes = sum(row.success for row in rows)
    seeds = sorted({row.seed for row in rows})
    return Rate(
        rate=successes / len(rows),
        interval=wilson_interval(successes, len(rows)),
        by_seed=tuple(_mean([row.success for row in rows if row.seed == seed]) for seed in seeds),
        completeness=_mean([row.completeness for row in rows]),
        trials=len(rows),
        over_seeds=bootstrapped([[row.success for row in rows if row.seed == seed] for seed in seeds]),
    )


def bootstrapped(outcomes: Sequence[Sequence[int]]) -> tuple[float, float]:
    """95 % percentile interval of the mean of the seeds' rates.

    Args:
        outcomes: 0 or 1 of every trial of every seed.
    """
    rng = np.random.default_rng(0)
    # A seed's trials drawn with replacement come to a binomial number of successes.
    counts, rates = np.array([len(one) for one in outcomes]), np.array([_mean(one) for one in outcomes])
    chosen = rng.integers(len(outcomes), size=(BOOTSTRAPS, len(outcomes)))
    drawn = (rng.binomial(counts[chosen], rates[chosen]) / counts[chosen]).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file, at once: what is there is whole."""
    partial = path.with_suffix(".part")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows({**asdict(row), "time_s": f"{row.time_s:.2f}"} for row in rows)
    partial.replace(path)


def read_rows(path: Path) -> list[Row]:
    """Rows that `write_rows` wrote."""
    kinds = {"str": str, "int": int, "float": float}
    with path.open(newline="") as file:
        return [
            Row(**{field.name: kinds[str(field.type)](line.get(field.name, "")) for field in fields(Row)})
            for line in csv.DictReader(file)
        ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
