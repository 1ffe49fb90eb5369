"""What a measure returns: rows of one table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

ENOUGH = 20  # samples, for a 99th percentile to be more than the worst one


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report."""

    what: str
    unit: str  # of the figures that follow
    median: float
    p99: float | None  # None: too few samples
    least: float
    most: float
    n: int  # samples
    ratio: float | None = None  # the median in terms of that of the row named by `against`
    against: str = ""


def row(what: str, unit: str, samples: Sequence[float], *, against: Row | None = None) -> Row:
    """The row of these samples, of which there must be one at least."""
    median = statistics.median(samples)
    p99 = None
    if len(samples) >= ENOUGH:
        p99 = statistics.quantiles(samples, n=100, method="inclusive")[98]
    return Row(
        what,
        unit,
        median,
        p99,
        min(samples),
        max(samples),
        len(samples),
        ratio=median / against.median if against is not None and against.median else None,
        against=against.what if against is not None else "",
    )
