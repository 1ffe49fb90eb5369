"""A whole task: planned, worked on and saved, with the scripted model and a real sandbox."""

import json
import time
from decimal import Decimal
from pathlib import Path

from agent_world import Journal, Watcher, tar_of

from agent.issue import IssueText
from agent.loop import Assignment, Limits, NotSaved, Report, Saved, plan, work
from agent.model import Model
from agent.plan import Plan, Step
from agent.progress import StepStarted, Used
from agent.sandbox import Sandbox
from vibecoder.local.model.replay import replay
from vibecoder.local.model.script import Stage
from vibecoder.tasks import Sources, Task

OLD = {
    "money/cents.py": b"def cents(text):\r\n    return int(float(text) * 100)\r\n",
    "money/__init__.py": b"",
    "tests/test_cents.py": b"""\
import unittest

from money.cents import cents


class Cents(unittest.TestCase):
    def test_whole(self):
        self.assertEqual(cents("2"), 200)
""",
}
NEW = {
    "money/cents.py": b"from decimal import Decimal\r\n\r\n\r\n"
    b"def cents(text):\r\n    return int(Decimal(text) * 100)\r\n",
    "money/__init__.py": b"",
    "tests/test_cents.py": OLD["tests/test_cents.py"]
    + b"""
    def test_fraction(self):
        self.assertEqual(cents("0.29"), 29)
""",
}


def _written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


async def test_a_task_is_planned_and_carried_out(
    tmp_path: Path,
    model: Model,
    stage: Stage,
    sandbox: Sandbox,
    watcher: Watcher,
    journal: Journal,
) -> None:
    sources = Sources(_written(tmp_path / "old", OLD), _written(tmp_path / "new", NEW))
    task = Task(
        package="money",
        old="1",
        new="2",
        old_sdist="",
        old_sha256="",
        new_sdist="",
        new_sha256="",
        source_files=("money/cents.py",),
        test_files=("tests/test_cents.py",),
        test_args=("tests/test_cents.py",),
        issue_title="cents() loses a cent",
        issue_body='`cents("0.29")` is 28.',
        program=("python3", "-m", "unittest"),
    )
    stage.play(replay(task, sources))
    await sandbox.unpack(tar_of(OLD))
    assignment = Assignment(
        "fix it", "me/money", IssueText(task.issue_title, task.issue_body, "ann"), "Be kind."
    )
    limits = Limits(Decimal(5), time.monotonic() + 60)

    planned = await plan(model, sandbox, assignment, limits, watcher, keep=journal)
    assert isinstance(planned, Plan)
    assert [step.files for step in planned.steps] == [("tests/test_cents.py",), ("money/cents.py",)]
    issue = json.loads(_result_of(journal, "get_issue"))
    assert issue["title"] == task.issue_title

    states: list[dict[str, bytes]] = []

    async def save(number: int, step: Step, summary: str, edits: int) -> Saved | NotSaved:
        states.append({name: await sandbox.read(name) for name in OLD})
        return Saved(f"{number:040}", step.files)

    working = Journal()
    report = await work(model, sandbox, assignment, planned, limits, watcher, save, keep=working)
    assert isinstance(report, Report)
    assert report.outcome == "done"
    assert [state["money/cents.py"] for state in states] == [
        OLD["money/cents.py"],
        NEW["money/cents.py"],
    ]
    assert states[-1] == NEW
    codes = [run.exit_code for run in watcher.runs]
    assert codes[0] == 1
    assert set(codes[1:]) == {0}
    assert [seen for seen in watcher.seen if isinstance(seen, StepStarted)] == [
        StepStarted(1, planned.steps[0].id),
        StepStarted(2, planned.steps[1].id),
    ]
    failed = [seen for seen in watcher.seen if isinstance(seen, Used) and seen.failed]
    assert failed == []
    assert stage.refused == []
    assert watcher.usd > 0


def _result_of(journal: Journal, tool: str) -> str:
    calls = {
        block["id"]: block["name"]
        for message in journal.messages
        for block in message["content"]
        if block["type"] == "tool_use"
    }
    for message in journal.messages:
        for block in message["content"]:
            if block["type"] == "tool_result" and calls[block["tool_use_id"]] == tool:
                return str(block["content"])
    raise AssertionError(f"{tool} was not called")
