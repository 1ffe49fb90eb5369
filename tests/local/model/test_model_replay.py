"""Replaying a fix gives the new files byte for byte, whatever they are."""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anthropic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_hand import EXECUTOR, PLANNER, Hand, converse

from vibecoder.local.model import edits
from vibecoder.local.model.app import app
from vibecoder.local.model.edits import File
from vibecoder.local.model.replay import replay
from vibecoder.local.model.script import Stage
from vibecoder.local.serve import serve
from vibecoder.tasks import Sources, Task

LINES = st.lists(
    st.sampled_from(["", "a", "b", "    return", "\tx", "é", "\x0c", "𝄞 \u2028"]), max_size=30
)
TEXTS = st.builds(
    lambda lines, end, tail: end.join(lines) + tail,
    LINES,
    st.sampled_from(["\n", "\n", "\n", "\r\n"]),
    st.sampled_from(["", "\n", "x", "\r\n"]),
).map(str.encode)
CONTENTS = st.one_of(TEXTS, TEXTS, st.binary(max_size=200), TEXTS.map(b"\xef\xbb\xbf".__add__))
FILES = st.one_of(st.none(), st.builds(File, CONTENTS, st.booleans()))


def write(path: Path, file: File | None) -> None:
    if file is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(0o755 if file.executable else 0o644)


def read(path: Path) -> File | None:
    if not path.exists():
        return None
    return File(path.read_bytes(), bool(path.stat().st_mode & stat.S_IXUSR))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("edits")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(old=FILES, new=FILES, again=st.booleans())
def test_the_calls_make_the_new_file_of_the_old_one(
    folder: Path, old: File | None, new: File | None, again: bool
) -> None:
    root = folder / "work"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    write(root / "a dir/it's.py", old)
    hand = Hand(root)
    path = "a dir/it's.py"
    for block in edits.rewrite(path, old, new) if again else edits.calls(path, old, new):
        text, wrong = hand.use(block["name"], block["input"])
        assert not wrong, (block, text)
    assert all(code == 0 for _, code in hand.runs)
    assert read(root / path) == new


def test_large_binary_files_go_in_pieces_that_a_process_accepts(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    hand = Hand(tmp_path)
    for block in edits.calls("data/blob.bin", None, File(content)):
        assert len(block["input"].get("command", "")) < 128 * 1024
        hand.use(block["name"], block["input"])
    assert (tmp_path / "data/blob.bin").read_bytes() == content
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["blob.bin"]


@pytest.mark.parametrize("new", [None, File(b"x = 2\r\n"), File(b"\xff\n"), File(b"y" * 200_000)])
def test_what_commands_write_begins_with_an_edit_by_a_tool(new: File | None) -> None:
    """Otherwise a run before it and a run after it would count as runs on the same files."""
    made = edits.calls("lib.py", File(b"x = 1\r\n"), new)
    assert made[0]["name"] == "write_file" and made[-1]["name"] == "run_command"


def test_a_small_change_in_a_large_file_is_one_small_edit() -> None:
    lines = [f"line {number // 7}" for number in range(500)]
    changed = [*lines[:250], "new", *lines[250:]]
    old, new = ("\n".join(each).encode() for each in (lines, changed))
    (block,) = edits.calls("f.py", File(old), File(new))
    assert block["name"] == "edit"
    assert len(block["input"]["new_string"]) < len(new)


OLD = {
    "lib.py": "class Sum:\n    def add(self, a, b):\n        return a - b\n",
    "gone.py": "x = 1\n",
    "tests/test_lib.py": "import lib\n",
}
NEW = {
    "lib.py": "class Sum:\n    def add(self, a, b):\n        return a + b\n",
    "tests/test_lib.py": (
        "import unittest\n\nimport lib\n\n\nclass SumTest(unittest.TestCase):\n"
        "    def test_add(self):\n        assert lib.Sum().add(1, 2) == 3\n"
    ),
    "tests/data.bin": "é\r\n",
}
TASK = Task(
    package="lib",
    old="1",
    new="2",
    old_sdist="lib-1.tar.gz",
    old_sha256="0" * 64,
    new_sdist="lib-2.tar.gz",
    new_sha256="0" * 64,
    source_files=("lib.py", "gone.py"),
    test_files=("tests/test_lib.py", "tests/data.bin"),
    test_args=("tests.test_lib.SumTest.test_add",),
    issue_title="Sum.add subtracts",
    issue_body="1 + 2 gives -1.",
    env=(("PYTHONPATH", "."),),
    program=("python", "-m", "unittest"),
)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    made = Sources(tmp_path / "old", tmp_path / "new")
    for root, files in ((made.old, OLD), (made.new, NEW)):
        for name, text in files.items():
            write(root / name, File(text.encode()))
    return made


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


async def test_a_whole_job_plans_shows_the_bug_and_fixes_it(
    sources: Sources, tmp_path: Path
) -> None:
    stage = Stage()
    stage.play(replay(TASK, sources), TASK.issue_title)
    root = tmp_path / "work"
    shutil.copytree(sources.old, root)
    hand = Hand(root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        plan, _ = await converse(ai, hand, PLANNER, f"Please: {TASK.issue_title}")
        end, messages = await converse(ai, hand, EXECUTOR, f"Do it: {TASK.issue_title}")
    assert plan is not None
    assert [step["files"] for step in plan["steps"]] == [
        ["tests/test_lib.py", "tests/data.bin"],
        ["lib.py", "gone.py"],
    ]
    assert plan["title"] == "Fix: Sum.add subtracts"
    assert plan["evidence"] == ["lib.py:3"]
    assert end is not None
    assert end["outcome"] == "done"
    assert tree(root) == tree(sources.new)
    tests = [code for command, code in hand.runs if command == TASK.test_command]
    assert tests == [1, 0]
    assert stage.refused == []
    thinking = [
        block
        for message in messages
        if message["role"] == "assistant"
        for block in message["content"]
        if block["type"] == "thinking"
    ]
    assert thinking


async def test_a_wide_fix_of_long_files_takes_few_and_short_turns(tmp_path: Path) -> None:
    """What is read and said costs money in every turn after it."""
    names = [f"part{number}.py" for number in range(30)]
    before = [f"n{number} = {number}\n" for number in range(3000)]
    made = Sources(tmp_path / "old", tmp_path / "new")
    for name in names:
        write(made.old / name, File("".join(before).encode()))
        write(made.new / name, File("".join([*before[:2000], "x = 1\n", *before[2000:]]).encode()))
    for root, text in ((made.old, OLD), (made.new, NEW)):
        write(root / "tests/test_lib.py", File(text["tests/test_lib.py"].encode()))
        write(root / "lib.py", File(NEW["lib.py"].encode()))
    stage = Stage()
    task = replace(TASK, source_files=tuple(names), test_files=("tests/test_lib.py",))
    stage.play(replay(task, made))
    root = tmp_path / "work"
    shutil.copytree(made.old, root)
    hand = Hand(root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        end, _ = await converse(ai, hand, EXECUTOR, "go", limit=30)
    assert end is not None
    assert tree(root) == tree(made.new)
    reads = [fields for name, fields in hand.used if name == "read_file"]
    assert all(1 <= read["start"] < read["end"] < 2100 for read in reads if "part" in read["path"])


@pytest.mark.parametrize("healthy", [True, False])
async def test_neighbours_that_failed_before_are_left_alone(
    sources: Sources, tmp_path: Path, healthy: bool
) -> None:
    """Their failure would say nothing about the fix, and the check would end as neutral."""
    broken = "" if healthy else "import what_no_sandbox_has\n"
    write(sources.old / "tests/test_other.py", File(broken.encode()))
    write(sources.new / "tests/test_other.py", File(f"{broken}\n".encode()))
    task = replace(
        TASK, test_files=("tests/test_other.py", "tests/test_lib.py"), program=("python", "-B")
    )
    task = replace(task, test_args=("-m", "unittest", "tests.test_lib.SumTest.test_add"))
    stage = Stage()
    stage.play(replay(task, sources))
    root = tmp_path / "work"
    shutil.copytree(sources.old, root)
    hand = Hand(root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        end, _ = await converse(ai, hand, EXECUTOR, "go")
    assert end is not None and end["outcome"] == "done"
    runs = [code for command, code in hand.runs if command == task.related_command]
    assert len(runs) == (2 if healthy else 1)


class Clumsy(Hand):
    """Loses the first two results of each tool, as a crash of the worker would."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.lost: dict[str, int] = {}

    def use(self, name: str, fields: dict[str, object]) -> tuple[str, bool]:
        self.lost[name] = self.lost.get(name, 0) + 1
        if self.lost[name] <= 2 and name not in ("finish_run", "submit_plan"):
            if self.lost[name] == 2:
                super().use(name, fields)
            return "The worker was lost; this may have run.", True
        return super().use(name, fields)


async def test_what_went_wrong_is_tried_in_another_way(sources: Sources, tmp_path: Path) -> None:
    stage = Stage()
    stage.play(replay(TASK, sources))
    root = tmp_path / "work"
    shutil.copytree(sources.old, root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        end, _ = await converse(ai, Clumsy(root), EXECUTOR, "go")
    assert end is not None
    assert end["outcome"] == "done"
    assert tree(root) == tree(sources.new)


@pytest.mark.parametrize("kept", [True, False], ids=["same sandbox", "new sandbox"])
@pytest.mark.parametrize("lost_at", range(3, 20, 4))
async def test_the_next_worker_goes_on_with_the_step(
    sources: Sources, tmp_path: Path, lost_at: int, kept: bool
) -> None:
    stage = Stage()
    stage.play(replay(TASK, sources))
    root = tmp_path / "work"
    shutil.copytree(sources.old, root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        _, messages = await converse(ai, Hand(root), EXECUTOR, "Now step 1 of 2, reproduce: Test")
        done = sum(
            block.get("name") == "finish_step"
            for message in messages[: lost_at - 1]
            if message["role"] == "assistant"
            for block in message["content"]
        )
        if not kept:  # a new sandbox holds what was committed
            shutil.rmtree(root)
            shutil.copytree(sources.old, root)
            for path in TASK.test_files if done else ():
                write(root / path, read(sources.new / path))
            if done == 2:
                shutil.rmtree(root)
                shutil.copytree(sources.new, root)
        said = "All 2 steps are finished." if done == 2 else f"Now step {done + 1} of 2, x: X"
        end, _ = await converse(
            ai, Hand(root), EXECUTOR, f"A new worker. {said}", history=messages[:lost_at]
        )
    assert end is not None
    assert end["outcome"] == "done"
    assert tree(root) == tree(sources.new)
    assert stage.refused == []


@pytest.mark.parametrize(
    ("said", "steps"),
    [("Finished: a. Now step 2 of 2, fix: Fix it", 1), ("All 2 steps are finished.", 0)],
)
async def test_a_fresh_conversation_starts_at_the_step_it_is_told(
    sources: Sources, tmp_path: Path, said: str, steps: int
) -> None:
    stage = Stage()
    stage.play(replay(TASK, sources))
    root = tmp_path / "work"
    shutil.copytree(sources.old if steps else sources.new, root)
    for path in TASK.test_files:
        write(root / path, read(sources.new / path))
    hand = Hand(root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        end, _ = await converse(ai, hand, EXECUTOR, said)
    assert end is not None
    assert end["outcome"] == "done"
    assert [name for name, _ in hand.used].count("finish_step") == steps
    assert tree(root) == tree(sources.new)


async def test_a_fix_that_does_not_work_is_said_to_be_partial(
    sources: Sources, tmp_path: Path
) -> None:
    write(sources.new / "lib.py", File(OLD["lib.py"].encode() + b"# nothing\n"))
    stage = Stage()
    stage.play(replay(TASK, sources))
    root = tmp_path / "work"
    shutil.copytree(sources.old, root)
    async with serve(app(stage)) as url, anthropic.AsyncAnthropic(base_url=url, api_key="k") as ai:
        end, _ = await converse(ai, Hand(root), EXECUTOR, "go")
    assert end is not None
    assert end["outcome"] == "partial"
    assert end["not_done"] == [TASK.issue_title]
