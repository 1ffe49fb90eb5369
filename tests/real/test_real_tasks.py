"""The real tasks, end to end through `vibecoder demo`: issue to pull request with the real fix."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vibecoder import tasks

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]


@pytest.mark.parametrize("task", tasks.load(), ids=lambda task: task.name)
def test_the_pull_request_equals_the_released_fix(
    task: tasks.Task, tmp_path_factory: pytest.TempPathFactory
) -> None:
    state = tmp_path_factory.getbasetemp() / "state"  # the wheels are fetched once
    ran = subprocess.run(
        [sys.executable, "-m", "vibecoder", "demo", "--json", "--task", task.name],
        env={**os.environ, "CI": "1", "VIBECODER_STATE_DIR": str(state), "ANTHROPIC_API_KEY": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    result = json.loads(ran.stdout)

    assert result["matches_release"] is True
    assert result["check_run"] == {"conclusion": "success"}
    assert set(task.source_files) | set(task.test_files) >= set(result["files_changed"])
    assert set(task.source_files) <= set(result["files_changed"])
    runs = [test for test in result["tests"] if test["command"] == task.test_command]
    assert [test["exit_code"] == 0 for test in runs] == [False, True]
    assert [test["commit"] for test in runs] == result["commits"]
    assert result["commits"][-1] == result["head_sha"] != result["base_sha"]
