"""The measures run against the real processes. Their figures are anybody's guess; they exist."""

import os
from pathlib import Path

import pytest

from vibecoder.bench import fsync, idle, rival, start, step, waiting, webhook
from vibecoder.bench.ground import BenchError, Ground, Process, Unavailable
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


@pytest.mark.network
async def test_probot_and_ours_get_the_same_deliveries(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rival, "ROUNDS", 2)
    monkeypatch.setattr(rival, "DELIVERIES", 32)
    monkeypatch.setattr(rival, "WARM_UP", 2)
    rows = named(await rival.measure(ground))
    for mix in ("any event", "a comment", "a command"):
        for how in ("one after another", "16 at a time"):
            for side in ("Probot", "ours"):
                assert rows[f"{mix}, {how}: {side}, to the answer"].n == 64
            both = rows[f"{mix}, {how}: ours and Redis"]
            assert both.median > rows[f"{mix}, {how}: ours"].median
            assert both.against == "Probot"
            assert rows[f"{mix}, {how}: ours, keeping nothing"].median > 0
    heard = (ground.folder / "rival/probot.log").read_text().count('"msg":"asked"')
    assert heard == 2 * (2 + 64)  # so it took our signature, and its handler ran


async def test_without_npm_the_comparison_is_left_out(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(ground.folder))
    with pytest.raises(Unavailable, match="npm"):
        await rival.measure(ground)


async def test_a_setting_of_fsync_is_compared_with_the_default(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsync, "ROUNDS", 2)
    monkeypatch.setattr(fsync, "REQUESTS", 8)
    rows = named(await fsync.measure(ground))
    for how in ("one after another", "16 at a time"):
        for setting in ("no", "always"):
            assert rows[f"{how}: {setting}, speed"].against == f"{how}: everysec, speed"
        assert rows[f"{how}: always, each"].n == 16


async def test_pickup_follows_each_job_from_its_202(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "INSTALLATIONS", 2)
    rows = named(await start.measure(ground))
    for what in ("a token to be made", "the token known"):
        begun = rows[f"{what}: 202 → the job begins"]
        assert begun.n == 2
        assert begun.median > rows[f"{what}: … 202 → sender allowed"].median > 0


async def test_idle_processes_are_watched(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "SECONDS", 1.0)
    rows = named(await idle.measure(ground))
    assert rows.keys() == {"web", "worker", "Redis", "Redis: commands"}
    assert rows["Redis"].median > 0


async def test_jobs_wait_for_model_and_command_in_one_worker(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "JOBS", 12)  # more than a worker takes in production
    monkeypatch.setattr(waiting, "SECONDS", 1.0)
    rows = named(await waiting.measure(ground))
    assert rows["until all 12 wait"].median > 0
    assert rows["event loop's lag, waiting"].n > 5


def test_process_is_looked_at_from_outside() -> None:
    process = Process(os.getpid())
    rss, pss = process.memory()
    assert rss >= pss > 1
    assert process.cpu() > 0


async def test_unknown_measure_is_refused_with_what_there_is(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, vibecoder_state_dir=tmp_path)  # type: ignore[call-arg]
    with pytest.raises(BenchError, match="webhook, probot, fsync, start"):
        await run(settings, only="speed", as_json=True)
