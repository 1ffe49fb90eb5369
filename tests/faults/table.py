"""What came out, as a table: kind of fault, runs, lost, doubled, recovery."""

from collections.abc import Sequence
from statistics import quantiles

from tests.faults.named import Outcome

HEAD = "| fault | runs | lost | doubled | stale | failed | recovery p50 | p99 |"
RULE = "|---|--:|--:|--:|--:|--:|--:|--:|"


def table(outcomes: Sequence[Outcome]) -> str:
    """One row for each kind of fault; a run with several kinds counts in each of their rows."""
    kinds = list(dict.fromkeys(kind for outcome in outcomes for kind in outcome.kinds))
    rows = [_row(kind, [each for each in outcomes if kind in each.kinds]) for kind in kinds]
    return "\n".join([HEAD, RULE, *rows, _row("", outcomes)])


def _row(kind: str, outcomes: Sequence[Outcome]) -> str:
    counts = [
        sum(any(fault.kind == wrong for fault in each.faults) for each in outcomes)
        for wrong in ("lost", "doubled", "stale", "failed")
    ]
    seconds = [
        found for each in outcomes for of, found in each.recoveries if not kind or of == kind
    ]
    cells = [kind or "all", str(len(outcomes)), *map(str, counts), *_percentiles(seconds)]
    return f"| {' | '.join(cells)} |"


def _percentiles(seconds: Sequence[float]) -> tuple[str, str]:
    if len(seconds) < 2:
        found = f"{seconds[0]:.1f} s" if seconds else "–"
        return found, found
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"{cuts[49]:.1f} s", f"{cuts[98]:.1f} s"
