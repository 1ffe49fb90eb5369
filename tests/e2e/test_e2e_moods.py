"""GitHub, the sandbox and the model fail: each time a clear end, and nothing left over."""

import asyncio
from pathlib import Path

import pytest
from e2b import AsyncSandbox
from house import House, Scene, house
from scripts import finished, job, planned, shell, write

from jobs.job import Job
from vibecoder.local.model.script import Request, Turn, call

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))
NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens


async def done(scene: Scene, words: str = "/vibecode say hello") -> Job:
    return await scene.job(await scene.say(words))


async def test_stop_ends_a_running_job_kills_its_sandbox_and_keeps_its_commits(
    house: House,
) -> None:
    long = job(("First", [write("a.txt", "a\n")]), ("Wait", [shell("sleep 300")]))
    scene = house.scene(README, script=long)
    said = await scene.say("/vibecode do two things")
    running = await scene.job_when(said, lambda it: it.step == 2)

    await scene.say("/vibecode stop")

    it = await scene.job_until(running.id, "cancelled")
    assert it.end is not None and "maya" in it.end.summary
    assert [commit.subject for commit in it.commits] == ["First"]
    assert it.sandbox_id not in await house.sandboxes()
    run = (await scene.get(f"/commits/{it.head_sha}/check-runs"))["check_runs"][0]
    assert run["conclusion"] == "cancelled"


@pytest.mark.parametrize("pushed", [1, 2])
async def test_a_push_that_is_under_way_when_somebody_says_stop_is_kept(
    tmp_path: Path, pushed: int
) -> None:
    two = job(("First", [write("a.txt", "a\n")]), ("Second", [write("b.txt", "b\n")]))
    async with house(tmp_path, {"lease_seconds": 3.0}) as home:
        scene = home.scene(README, script=two)
        # Longer than it takes the worker to learn of the stop.
        pushes = home.world.faults.add("POST", "git-receive-pack", pushed, delay=1.8)
        said = await scene.say("/vibecode do two things")
        running = await scene.job_when(said, lambda it: it.step == pushed)
        while pushes in home.world.faults.waiting:  # noqa: ASYNC110  # the stand-in has no event
            await asyncio.sleep(0.01)

        await scene.say("/vibecode stop")

        it = await scene.job_until(running.id, "cancelled")
        assert [commit.subject for commit in it.commits] == ["First", "Second"][:pushed]
        assert it.pull is not None
        head = (await scene.get(f"/branches/{it.branch}"))["commit"]["sha"]
        assert it.head_sha == head


async def kill_sandbox(house: House, sandbox_id: str) -> None:
    box = house.here.sandbox
    await AsyncSandbox.kill(
        sandbox_id, api_key=box.api_key, api_url=box.api_url, sandbox_url=box.sandbox_url
    )


def asked(house: House, scene: Scene, tool: str) -> list[int]:
    """How many answers the conversations with that tool held, request by request."""
    requests = [it for it in house.here.stage.requests if scene.repository in it.task]
    return [it.turns for it in requests if tool in it.tools]


def done_already(request: Request, tool: str) -> bool:
    return any(it.tool == tool and not it.is_error for it in request.exchanges[2:])


async def test_work_goes_on_in_a_new_sandbox_when_one_dies(house: House) -> None:
    begun = job(("First", [write("a.txt", "a\n")]), ("Second", [shell("sleep 300")]))

    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools or request.turns < 3:
            return begun(request)
        if not done_already(request, "write_file"):
            return Turn((write("b.txt", "b\n"),))
        if not done_already(request, "finish_step"):
            return Turn((call("finish_step", summary="Second", run_ids=[]),))
        return finished()

    scene = house.scene(README, script=play)
    said = await scene.say("/vibecode do two things")
    running = await scene.job_when(said, lambda it: it.step == 2)

    await kill_sandbox(house, running.sandbox_id)

    it = await scene.job(running.id)
    assert it.state == "succeeded", it.end
    assert [commit.files for commit in it.commits] == [("a.txt",), ("b.txt",)]
    assert it.sandbox_id != running.sandbox_id
    assert await house.sandboxes() == []
    # The conversation went on: no answer of the model was paid for twice.
    turns = asked(house, scene, "finish_run")
    assert turns == list(range(len(turns)))
    told = [text for it in house.here.stage.requests[-1].messages for text in str(it).split("\n")]
    assert any("This is a new one, made from the last commit" in text for text in told)


async def test_planning_goes_on_in_a_new_sandbox_when_one_dies(house: House) -> None:
    hello = job(("Say hello", [write("hello.txt", "hello\n")]))

    def play(request: Request) -> Turn:
        if "submit_plan" not in request.tools:
            return hello(request)
        looked = any(it.tool == "list_directory" and not it.is_error for it in request.exchanges)
        if not request.turns:
            return Turn((shell("sleep 300"),))
        return Turn((planned("Say hello") if looked else call("list_directory"),))

    scene = house.scene(README, script=play)
    said = await scene.say("/vibecode say hello")
    running = await scene.job_when(said, lambda it: it.sandbox_id != "" and it.usd > 0)

    await kill_sandbox(house, running.sandbox_id)

    it = await scene.job(running.id)
    assert it.state == "succeeded", it.end
    assert it.sandbox_id != running.sandbox_id
    turns = asked(house, scene, "submit_plan")
    assert turns == list(range(len(turns)))


async def test_an_overloaded_model_is_asked_again(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    house.here.stage.interrupt(
        Turn(status=529), Turn(blocks=({"type": "text", "text": "hm"},), cut_after_events=2)
    )

    it = await done(scene)

    assert it.state == "succeeded", it.end


async def test_a_tool_call_from_a_cut_stream_is_never_run(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    danger = call("run_command", command="touch /home/user/repo/cut.txt")
    house.here.stage.interrupt(Turn((danger,), cut_after_events=6))

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("hello.txt",)


async def test_a_token_that_expires_in_mid_job_is_made_anew(house: House) -> None:
    def expire(request: Request) -> Turn:
        if "submit_plan" not in request.tools and request.turns == 0:
            house.world.expire_tokens()
        return HELLO(request)

    scene = house.scene(README, script=expire)

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert it.pull is not None


async def test_a_protected_branch_pattern_ends_in_githubs_own_words(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    house.world.protect(scene.repository, plan.branch)

    await scene.say("/vibecode accept")
    it = await scene.job_until(plan.id, "failed")

    assert it.end is not None and "protect" in it.end.summary.lower()
    assert it.sandbox_id not in await house.sandboxes()


async def test_github_answers_500_now_and_then_and_the_job_goes_on(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    faults = house.world.faults
    faults.add("GET", f"/repos/{scene.repository}$", 1, status=502)
    faults.add("POST", f"/repos/{scene.repository}/pulls$", 1, status=502, late=True)
    faults.add("POST", f"/repos/{scene.repository}/check-runs$", 1, status=500)

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert len(await scene.get("/pulls?state=all")) == 1
    assert len((await scene.get(f"/commits/{it.head_sha}/check-runs"))["check_runs"]) == 1


async def test_a_missing_permission_is_named(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    repository = house.world.repository(scene.repository)
    installation = house.world.installation_of(repository, house.world.app)
    assert installation is not None
    installation.permissions.pop("checks")

    said = await scene.say("/vibecode say hello")

    assert "checks" in await house.verdict(said.key)
    assert "checks" in await scene.answer("checks")  # said with the permission that is left
    assert await house.store.active_on(repository.id, scene.issue) is None


async def test_a_money_ceiling_stops_before_the_request_that_would_pass_it(house: House) -> None:
    files = README | {".github/vibecode.yml": b"usd: 0.01\n"}
    scene = house.scene(files, script=HELLO)

    it = await done(scene)

    assert it.state == "stopped"
    assert it.usd <= 1
    assert "$0.01" in await scene.answer("$0.01")


async def test_a_days_budget_is_kept_over_jobs(tmp_path: Path) -> None:
    async with house(tmp_path, VIBECODER_DAILY_USD="0.05") as careful:
        ended = [await done(careful.scene(README, script=HELLO)) for _ in range(3)]
        assert ended[-1].state == "stopped"
        assert ended[-1].end is not None and "$0.05" in ended[-1].end.summary
        assert sum(it.usd for it in ended) < 1


async def test_settings_of_a_repository_that_cannot_be_read_are_named(house: House) -> None:
    files = README | {".github/vibecode.yml": b"approvals: always\n"}
    scene = house.scene(files, script=HELLO)

    assert (await done(scene)).state == "failed"
    assert "approvals" in await scene.answer("vibecode.yml")


async def test_an_executor_that_gets_nowhere_says_so(house: House) -> None:
    blocked = job(("Try", []), end=finished("blocked", "I could not find it."))
    scene = house.scene(README, script=blocked)

    it = await done(scene)

    assert it.pull is None
    assert it.end is not None
    assert await scene.answer("I could not find it.")


@pytest.mark.parametrize(
    ("name", "words"),
    [("ANTHROPIC_BASE_URL", "model"), ("E2B_API_URL", "sandbox")],
)
async def test_a_service_that_is_not_there_ends_the_job_with_a_sentence(
    tmp_path: Path, name: str, words: str
) -> None:
    async with house(tmp_path, **{name: NOBODY}) as broken:
        scene = broken.scene(README, script=HELLO)
        it = await done(scene)

        assert it.state == "failed"
        assert it.end is not None and words in it.end.summary.lower()
        assert await scene.answer(words)
        assert await broken.sandboxes() == []


async def test_nothing_secret_reaches_a_log(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    await done(scene)

    logged = repr(house.log)
    tokens = [token.text for token in house.world.tokens.values()]
    keys = [house.here.model_key, house.here.sandbox.api_key, house.world.webhook_secret]
    assert [secret for secret in tokens + keys if secret in logged] == []
    assert "PRIVATE KEY" not in logged
