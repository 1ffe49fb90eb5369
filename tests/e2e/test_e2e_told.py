"""From a wish to the notification on a locked screen, through the whole service."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from house import House, house
from push_service import Browser, PushService, push_service
from scripts import job, write

from jobs.commands import Actor, EndSessions
from jobs.queue.subscriptions import Subscriptions

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pushes() -> AsyncIterator[PushService]:
    async with push_service() as pushes:
        yield pushes


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def telling(
    pushes: PushService, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("telling")
    settings = {
        "VIBECODER_PUSH_HOSTS": pushes.place,
        "VIBECODER_NTFY_URL": f"{pushes.url}/the-operators-topic",
        "PUBLIC_URL": "https://bot.example.org",
    }
    async with house(folder, **settings) as running:
        yield running


async def subscribed(house: House, pushes: PushService, login: str, name: str) -> Browser:
    async with house.api(login) as api:
        key = (await api.get("/api/push/key")).json()["key"]
        browser = pushes.browser(name, key)
        answer = await api.post("/api/push/subscriptions", json=browser.subscription())
        assert answer.status_code == 204, answer.text
    return browser


async def ask(api: httpx.AsyncClient, path: str, body: dict[str, object]) -> str:
    answer = await api.post(path, json=body)
    answer.raise_for_status()
    return str(answer.json()["job_id"])


async def test_a_wish_from_the_phone_calls_twice(telling: House, pushes: PushService) -> None:
    phone = await subscribed(telling, pushes, "maya", "phone")
    other = await subscribed(telling, pushes, "rob", "rob")
    scene = telling.scene(README, script=HELLO, private=True)
    async with telling.api("maya") as api:
        wish = {"repository": scene.repository, "text": "say hello", "issue": scene.issue}
        job_id = await ask(api, "/api/plans", wish)
        plan = (await phone.one(1)).said["notification"]
        digest = (await scene.job(job_id)).digest
        await ask(api, f"/api/jobs/{job_id}/accept", {"plan_digest": digest})
        end = (await phone.one(2)).said["notification"]
    done = await scene.job_until(job_id, "succeeded")

    assert done.pull is not None and done.plan is not None
    assert plan["title"] == f"Plan ready: {done.plan.title} — {scene.repository}"
    assert end["title"] == f"Finished: {done.plan.title} — {scene.repository}"
    assert f"#{done.pull.number}" in end["body"]
    assert plan["navigate"].endswith(f"/app/job/{job_id}") and plan["navigate"] == end["navigate"]
    assert other.asked == 0
    await pushes.until(lambda: len(pushes.told) == 2)
    assert [said["title"] for said in pushes.told] == [plan["title"], end["title"]]


async def test_a_comment_calls_the_same_way(telling: House, pushes: PushService) -> None:
    phone = await subscribed(telling, pushes, "maya", "by-comment")
    scene = telling.scene(README, script=HELLO)

    done = await scene.job_until((await scene.job(await scene.say("/vibecode hi"))).id, "succeeded")

    shown = (await phone.one()).said["notification"]
    assert shown["tag"] == done.id
    assert shown["data"]["kind"] == "finished"


async def test_who_lost_sight_of_the_repository_hears_nothing(
    telling: House, pushes: PushService
) -> None:
    phone = await subscribed(telling, pushes, "maya", "let-go")
    scene = telling.scene(README, script=HELLO, private=True)
    plan = await scene.job(await scene.say("/vibecode plan hi"))
    await phone.one()
    telling.world.set_role(scene.repository, "rob", "write")
    telling.world.set_role(scene.repository, "maya", "none")

    await scene.say("/vibecode stop", by="rob")

    await scene.job_until(plan.id, "cancelled")
    await telling.until(
        lambda: any(line["event"] == "not_told" and line["job"] == plan.id for line in telling.log)
    )
    assert phone.asked == 1


async def test_who_takes_the_apps_leave_back_is_told_no_more(
    telling: House, pushes: PushService
) -> None:
    """Also where the subscription was made with a token of GitHub's, and no session."""
    await subscribed(telling, pushes, "rob", "revoked")
    rob = telling.world.account("rob")
    subscriptions = Subscriptions(telling.store)
    assert await subscriptions.of(rob.id)

    revoked = EndSessions("revoked:rob:guid", Actor(rob.id, rob.login))
    await telling.store.submit(revoked, time.time())

    await telling.verdict(revoked.key)
    assert await subscriptions.of(rob.id) == []
