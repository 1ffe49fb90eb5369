"""The measures run against the real processes. Their figures are anybody's guess; they exist."""

import os
from pathlib import Path

import pytest

from vibecoder.bench import step, webhook
from vibecoder.bench.ground import BenchError, Ground, Process
from vibecoder.bench.rows import Row
from vibecoder.bench.run import run
from vibecoder.settings import Settings


@pytest.fixture(name="ground")
def _ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path, tmp_path / "cache")


def named(rows: list[Row]) -> dict[str, Row]:
    return {row.what: row for row in rows}


async def test_webhook_measures_every_delivery(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "DELIVERIES", 32)
    monkeypatch.setattr(webhook, "WARM_UP", 2)
    rows = named(await webhook.measure(ground))
    assert len(rows) == 12
    for what in ("a comment", "a job"):
        for how in ("one after another", "16 at a time"):
            assert rows[f"{what}, {how}: to 202"].n == 32
            assert rows[f"{what}, {how}: web"].median > 0


async def test_step_finds_each_tool_between_two_requests(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "CALLS", 6)
    monkeypatch.setattr(step, "JOBS", 1)
    rows = named(await step.measure(ground))
    assert rows["any call"].n == 6
    assert [rows[tool].n for tool in ("read_file", "edit", "run_command")] == [2, 2, 2]
    assert rows["run_command"].median > rows["run_command: … `true` itself, timed inside"].median


def test_process_is_looked_at_from_outside() -> None:
    process = Process(os.getpid())
    rss, pss = process.memory()
    assert rss >= pss > 1
    assert process.cpu() > 0


async def test_unknown_measure_is_refused_with_what_there_is(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, vibecoder_state_dir=tmp_path)  # type: ignore[call-arg]
    with pytest.raises(BenchError, match="webhook, start, checkout"):
        await run(settings, only="speed", as_json=True)
