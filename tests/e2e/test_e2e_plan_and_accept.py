"""A plan waits for a person, and the accept, by comment or by phone, is the same thing."""

from pathlib import Path
from typing import Any

import httpx
from house import House, Scene
from scripts import job, planned, write

from jobs.job import Job
from vibecoder import tasks
from vibecoder.local.model.replay import replay
from vibecoder.local.model.script import Turn, turns

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))


async def waiting(house: House, words: str = "/vibecode plan say hello") -> tuple[Scene, Job]:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say(words))
    assert plan.state == "awaiting_approval"
    return scene, plan


async def test_plan_posts_the_plan_and_touches_nothing(house: House) -> None:
    scene, plan = await waiting(house)

    answer = await scene.answer("/vibecode accept")
    assert "Say hello" in answer
    assert f"/vibecode accept {plan.digest[:8]}" in answer
    assert await scene.get("/pulls?state=all") == []
    assert plan.sandbox_id not in await house.sandboxes()


async def test_accept_goes_on_with_the_plan(house: House) -> None:
    scene, plan = await waiting(house)

    await scene.say(f"/vibecode accept {plan.digest[:8]}")

    done = await scene.job_until(plan.id, "succeeded")
    assert done.approved_by is not None and done.approved_by.login == "maya"
    assert done.pull is not None
    assert done.digest == plan.digest


async def test_a_stale_digest_is_refused_with_the_right_one(house: House) -> None:
    scene, plan = await waiting(house)

    await scene.say("/vibecode accept 00000000")

    answer = await scene.answer("not the plan")
    assert plan.digest[:8] in answer
    assert (await house.store.load(plan.id)).state == "awaiting_approval"


async def test_who_may_only_read_cannot_accept(house: House) -> None:
    scene, plan = await waiting(house)

    said = await scene.say("/vibecode accept", by="rob")

    assert "write permission" in await house.verdict(said.key)
    assert (await house.store.load(plan.id)).state == "awaiting_approval"


async def test_a_second_accept_hears_that_it_was_accepted(house: House) -> None:
    scene, plan = await waiting(house)
    await scene.say("/vibecode accept")
    await scene.job_until(plan.id, "succeeded")

    said = await scene.say("/vibecode accept")

    assert "refused" in await house.verdict(said.key)


async def test_a_question_without_a_default_waits_for_a_person(house: House) -> None:
    asks = planned(
        "Say hello", questions=[{"text": "In which language?", "options": [], "default": ""}]
    )
    scene = house.scene(README, script=turns(Turn((asks,))))

    waits = await scene.job(await scene.say("/vibecode say hello"))

    assert waits.state == "awaiting_approval"
    assert "In which language?" in await scene.answer()


async def test_a_repository_can_ask_that_every_plan_waits(house: House) -> None:
    files = README | {".github/vibecode.yml": b"approval: always\n"}
    scene = house.scene(files, script=HELLO)

    waits = await scene.job(await scene.say("/vibecode say hello"))

    assert waits.state == "awaiting_approval"


async def test_stop_ends_a_waiting_plan(house: House) -> None:
    scene, plan = await waiting(house)

    await scene.say("/vibecode stop")

    stopped = await scene.job_until(plan.id, "cancelled")
    assert stopped.end is not None and "maya" in stopped.end.summary
    assert await scene.answer("Stopped by maya")


async def test_comment_and_phone_make_the_same_pull_request(house: House, tmp_path: Path) -> None:
    task, sources = tasks.sample(tmp_path)

    def scene() -> Scene:
        return house.scene(sources.old, task.issue_title, task.issue_body, replay(task, sources))

    by_comment, by_phone = scene(), scene()
    plan = await by_comment.job(await by_comment.say("/vibecode plan fix this"))
    await by_comment.say(f"/vibecode accept {plan.digest[:8]}")
    one = await by_comment.job_until(plan.id, "succeeded")

    async with house.api("maya") as api:
        wish = {"repository": by_phone.repository, "text": "fix this", "issue": by_phone.issue}
        job_id = (await post(api, "/api/plans", wish))["job_id"]
        await by_phone.job(job_id)
        status = (await api.get(f"/api/agent/status/{job_id}")).json()
        assert status["state"] == "awaiting_approval"
        accept = {"job_id": job_id, "plan_digest": status["plan"]["digest"]}
        assert (await post(api, "/api/agent/execute", accept))["job_id"] == job_id
        two = await by_phone.job_until(job_id, "succeeded")
        asked = [await post(api, "/api/github/create-pr", {"job_id": job_id}) for _ in range(2)]
        status = (await api.get(f"/api/agent/status/{job_id}")).json()
        commits = await api.get(f"/api/github/commits/{by_phone.repository}/{status['branch']}")

    assert two.pull is not None
    assert asked == [{"pull_request_url": two.pull.url}] * 2
    assert status["pull_request_url"] == two.pull.url
    assert [c["sha"] for c in commits.json()][:2] == [c.sha for c in reversed(two.commits)]
    assert await shape(by_comment, one) == await shape(by_phone, two)


async def post(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> Any:
    answer = await api.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


async def shape(scene: Scene, job: Job) -> dict[str, Any]:
    """A pull request without what must differ: names, shas, times and money's last digits."""
    assert job.pull is not None
    pull = await scene.get(f"/pulls/{job.pull.number}")
    files = await scene.get(f"/pulls/{job.pull.number}/files")
    commits = await scene.get(f"/pulls/{job.pull.number}/commits")
    return {
        "title": pull["title"],
        "draft": pull["draft"],
        "author": pull["user"]["login"],
        "files": [(file["filename"], file["patch"]) for file in files],
        "messages": [c["commit"]["message"] for c in commits],
        "closes": f"Closes #{scene.issue}" in pull["body"],
    }


async def test_the_phone_cannot_accept_what_its_owner_may_not_push_to(house: House) -> None:
    _, plan = await waiting(house)
    for login, status in (("rob", {403, 404}), ("sam", {403, 404})):
        async with house.api(login) as api:
            answer = await api.post(
                "/api/agent/execute", json={"job_id": plan.id, "plan_digest": plan.digest}
            )
        assert answer.status_code in status
        assert answer.headers["content-type"] == "application/problem+json"
    assert (await house.store.load(plan.id)).state == "awaiting_approval"


async def test_the_phone_is_told_of_a_stale_digest(house: House) -> None:
    _, plan = await waiting(house)
    async with house.api("maya") as api:
        answer = await api.post(
            "/api/agent/execute", json={"job_id": plan.id, "plan_digest": "0" * 64}
        )
    assert answer.status_code == 409
    assert "plan" in answer.json()["detail"]


async def test_a_wish_without_an_issue_becomes_a_pull_request_too(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    async with house.api("maya") as api:
        job_id = (
            await post(api, "/api/plans", {"repository": scene.repository, "text": "say hello"})
        )["job_id"]
        plan = await scene.job(job_id)
        await post(api, "/api/agent/execute", {"job_id": job_id, "plan_digest": plan.digest})
    done = await scene.job_until(job_id, "succeeded")

    assert done.pull is not None
    pull = await scene.get(f"/pulls/{done.pull.number}")
    assert "Closes" not in pull["body"]
    assert await scene.answers() == []
