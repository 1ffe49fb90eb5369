"""What a row makes of samples, and how the report shows them."""

import io

import pytest
from rich.console import Console

from vibecoder.bench import rows as subject
from vibecoder.bench import run, webhook
from vibecoder.bench.rows import row


def test_row_holds_the_median_and_the_ends() -> None:
    made = row("a", "ms", [3.0, 1.0, 10.0])
    assert (made.median, made.least, made.most, made.n) == (3.0, 1.0, 10.0, 3)


def test_few_samples_have_no_99th_percentile() -> None:
    samples = [float(n) for n in range(subject.ENOUGH)]
    assert row("a", "ms", samples[1:]).p99 is None
    assert row("a", "ms", samples).p99 == pytest.approx(18.81)


def test_row_is_compared_with_another() -> None:
    theirs = row("git", "s", [2.0])
    ours = row("ours", "s", [3.0], against=theirs)
    assert (ours.ratio, ours.against) == (1.5, "git")


def test_nothing_is_compared_with_nought() -> None:
    assert row("ours", "s", [3.0], against=row("git", "s", [0.0])).ratio is None


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0.00"), (1.239, "1.24"), (12.34, "12.3"), (12345.6, "12,346")]
)
def test_numbers_show_three_digits_that_count(value: float, shown: str) -> None:
    assert run.number(value) == shown


def test_table_shows_every_row_under_what_it_measures() -> None:
    theirs = row("git", "s", [2.0])
    out = io.StringIO()
    shown = run.table(webhook, [theirs, row("ours", "s", [3.0, 5.0], against=theirs)])
    Console(file=out, width=run.WIDTH).print(shown)
    assert "Webhook to 202" in out.getvalue()
    assert "2.00 × git" in out.getvalue()


def test_every_measure_says_what_it_holds() -> None:
    for module in run.MEASURES.values():
        assert module.__doc__ and module.measure
