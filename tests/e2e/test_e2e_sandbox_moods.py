"""The sandbox and its provider fail in every way: the work goes on, or ends in a sentence."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from e2b import AsyncSandbox
from house import PATIENCE, House, Scene, house
from sandbox_gate import Gate
from scripts import finished, job, planned, shell, write

from jobs.events import Charged, JobEvent, Noted
from jobs.job import Job
from vibecoder.compose.worker import worker
from vibecoder.local.model.script import Request, Script, Turn, call
from vibecoder.local.serve import serve

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))
CREATE, CONNECT = "POST /v2/sandboxes$", "POST /v2/sandboxes/.*/connect"
COMMAND, UPLOAD = "POST /process.Process/Start", "POST /files"


@pytest.fixture(scope="module")
def gate() -> Gate:
    return Gate()


@pytest_asyncio.fixture(scope="module", loop_scope="session", name="gated")
async def _gated(gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house whose sandboxes are behind the gate."""
    async with (
        serve(gate) as url,
        house(tmp_path_factory.mktemp("gated"), E2B_API_URL=url, E2B_SANDBOX_URL=url) as running,
    ):
        gate.upstream = running.here.sandbox.api_url or ""
        yield running


@pytest.fixture(autouse=True)
def _fresh(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """No faults left over, and no long pauses between tries."""
    gate.faults.clear()
    gate.met.clear()
    monkeypatch.setattr("agent.sandbox.PAUSES", (0.05, 0.05))
    monkeypatch.setattr("jobs.queue.worker.pause", lambda attempt: 0.05)
    monkeypatch.setattr("jobs.work.AWAY_SECONDS", 0.1)


GARBAGE: dict[str, dict[str, Any]] = {
    "html": {"status": 200, "body": b"<html>Welcome!</html>", "kind": "text/html"},
    "empty": {"status": 200, "body": b"{}"},
    "half": {"status": 200, "body": b'{"sandboxID": ['},
    "list": {"status": 500, "body": b"[]"},
    "gateway": {"status": 502, "body": b"bad gateway", "kind": "text/plain"},
    "string": {"status": 503, "body": b'"busy"'},
    "cut": {"cut": True, "body": b'{"a": 1'},
}


async def done(scene: Scene) -> Job:
    return await scene.job(await scene.say("/vibecode do it"))


async def happened(house: House, job: Job) -> list[JobEvent]:
    return [event for _, event in await house.store.history(job.id)]


async def told(house: House, job: Job, words: str) -> list[str]:
    """The lines with these words that the person saw."""
    events = await happened(house, job)
    return [event.text for event in events if isinstance(event, Noted) and words in event.text]


async def charged(house: House, job: Job) -> int:
    """How many answers of the model were paid for."""
    return sum(isinstance(event, Charged) for event in await happened(house, job))


def hello_after(trouble: Callable[[], None]) -> Script:
    """Meets trouble with a command of the executor, and then says hello."""

    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools:
            return HELLO(request)
        if not request.turns:
            trouble()
            return Turn((shell("touch ran.txt"),))
        good = sum(not result.is_error for result in request.exchanges)
        rest = (write("hello.txt", "hello\n"), call("finish_step", summary="Yes", run_ids=[]))
        return Turn((rest[good],)) if good < len(rest) else finished()

    return play


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_at_the_creation_is_asked_again(
    gated: House, gate: Gate, garbage: str
) -> None:
    scene = gated.scene(README, script=HELLO)
    gate.fail(CREATE, **GARBAGE[garbage])

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert gate.met


@pytest.mark.parametrize("garbage", ["html", "half", "cut"])
async def test_garbage_instead_of_a_commands_output_costs_no_turn_twice(
    gated: House, gate: Gate, garbage: str
) -> None:
    scene = gated.scene(README, script=hello_after(lambda: gate.fail(COMMAND, **GARBAGE[garbage])))

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("hello.txt",)  # the command was not silently run again
    assert await charged(gated, it) == 1 + 4
    assert len(await told(gated, it, "The sandbox failed")) == 1
    assert it.sandbox_id not in await gated.sandboxes()


async def test_a_provider_that_only_talks_nonsense_ends_the_job_with_a_sentence(
    gated: House, gate: Gate
) -> None:
    scene = gated.scene(README, script=HELLO)
    gate.fail(CREATE, 100, status=200, body=b"{}")

    it = await done(scene)

    assert it.state == "failed"
    assert "made no sense" in await scene.answer("sandbox failed")


async def test_a_template_that_does_not_exist_ends_the_job_at_once(
    gated: House, gate: Gate
) -> None:
    scene = gated.scene(README, script=HELLO)
    gate.fail(CREATE, 100, status=404, body=b'{"code": 404, "message": "template not found"}')

    it = await done(scene)

    assert it.state == "failed"
    assert await scene.answer("template not found")
    assert len(gate.met) == 1


async def test_a_quota_is_waited_for(gated: House, gate: Gate) -> None:
    scene = gated.scene(README, script=HELLO)
    # The SDK itself asks four times; three rounds of ours.
    gate.fail(CREATE, 12, status=429, body=b'{"code": 429, "message": "20 sandboxes at once"}')

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert len(await told(gated, it, "no room for another sandbox")) == 1


async def test_a_silent_provider_is_asked_again(
    gated: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2b.connection_config.REQUEST_TIMEOUT", 3.0)  # the SDK's, of 60 s
    scene = gated.scene(README, script=HELLO)
    gate.fail(CREATE)

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert gate.met


async def test_a_command_that_is_never_answered_costs_no_turn_twice(
    gated: House, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("e2b.connection_config.REQUEST_TIMEOUT", 3.0)
    scene = gated.scene(README, script=hello_after(lambda: gate.fail(COMMAND)))

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert await charged(gated, it) == 1 + 4
    assert len(await told(gated, it, "The sandbox failed")) == 1


async def test_an_old_sandbox_that_cannot_be_reached_is_given_up(gated: House, gate: Gate) -> None:
    def trouble() -> None:
        gate.fail(COMMAND, status=500)
        gate.fail(CONNECT, 100, status=500)

    scene = gated.scene(README, script=hello_after(trouble))

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("hello.txt",)
    assert len([at for at in gate.met if "connect" in at]) == 1


async def test_a_full_disk_is_told_to_the_agent(gated: House, gate: Gate) -> None:
    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools:
            return HELLO(request)
        if not request.turns:
            gate.fail(UPLOAD, status=507, body=b'{"code": 507, "message": "no space left"}')
        if request.turns == 1 and "disk is full" not in request.results[0].text:
            return finished("blocked", f"It said: {request.results[0].text}")
        if request.turns < 2:
            return Turn((write("hello.txt", "hello\n"),))
        last = call("finish_step", summary="Yes", run_ids=[])
        return Turn((last,)) if request.turns == 2 else finished()

    scene = gated.scene(README, script=play)

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("hello.txt",)
    assert await charged(gated, it) == 1 + 4


class Sleeper:
    """Writes a file, sleeps over it, and writes it again where it is told that it was lost."""

    def __init__(self) -> None:
        self.asleep = asyncio.Event()

    def __call__(self, request: Request) -> Turn:
        if "submit_plan" in request.tools:
            return Turn((planned("Say hello"),)) if request.turns else Turn((shell("ls"),))
        if "made from the last commit" not in str(request.messages):
            if request.turns:
                self.asleep.set()
                return Turn((shell("sleep 300"),))
            return Turn((write("hello.txt", "lost\n"),))
        good = sum(not result.is_error for result in request.exchanges)
        rest = (write("hello.txt", "hello\n"), call("finish_step", summary="Yes", run_ids=[]))
        return Turn((rest[good - 1],)) if good <= len(rest) else finished()

    async def check(self, house: House, scene: Scene, it: Job) -> None:
        """It went on, and each answer of the model was paid for once."""
        assert it.state == "succeeded", it.end
        raw = "application/vnd.github.raw+json"
        assert await scene.get(f"/contents/hello.txt?ref={it.branch}", Accept=raw) == "hello\n"
        assert await charged(house, it) == 2 + 5


@pytest.mark.parametrize("end", ["killed", "expired"])
async def test_what_was_paid_for_is_kept_when_the_sandbox_is_gone(house: House, end: str) -> None:
    sleeper = Sleeper()
    scene = house.scene(README, script=sleeper)
    said = await scene.say("/vibecode do it")
    await asyncio.wait_for(sleeper.asleep.wait(), PATIENCE)
    running = await scene.job_when(said, lambda it: it.step == 1)

    if end == "killed":
        await house.kill_sandbox(running.sandbox_id)
    else:
        box = house.here.sandbox
        await AsyncSandbox.set_timeout(
            running.sandbox_id,
            timeout=1,
            api_key=box.api_key,
            api_url=box.api_url,
            sandbox_url=box.sandbox_url,
        )

    it = await scene.job(running.id)
    await sleeper.check(house, scene, it)
    assert it.sandbox_id != running.sandbox_id
    assert len(await told(house, it, "The sandbox was lost")) == 1


async def test_what_was_paid_for_is_kept_when_worker_and_sandbox_are_gone(tmp_path: Path) -> None:
    sleeper = Sleeper()
    async with house(tmp_path) as home:
        scene = home.scene(README, script=sleeper)
        said = await scene.say("/vibecode do it")
        await asyncio.wait_for(sleeper.asleep.wait(), PATIENCE)
        running = await scene.job_when(said, lambda it: it.step == 1)

        await home.worker.close()
        await home.kill_sandbox(running.sandbox_id)
        async with worker(home.settings, home.store) as another:
            working = asyncio.create_task(another.async_run())
            it = await scene.job(running.id)
            await another.close()
            await working

        await sleeper.check(home, scene, it)
        assert await home.sandboxes() == []
