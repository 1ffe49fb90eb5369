"""What the app outlives: restarts, sleep, no connection, a lost session, a second device."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from house import Scene
from phone import Phone
from phone_place import Place, ask
from scripts import job, shell, write

pytestmark = pytest.mark.browser

README = {"README.md": b"# A library\n"}
TWO_STEPS = job(
    ("Say hello", [write("hello.txt", "hello\n"), shell("cat hello.txt")]),
    ("Say goodbye", [write("goodbye.txt", "goodbye\n")]),
)
PLAN, STEP = 1, 2  # answers of the model that they take


@asynccontextmanager
async def asked(place: Place, name: str) -> AsyncIterator[tuple[Scene, Phone]]:
    """A phone on which the plan just waits; the model is held after it."""
    await place.model.let(PLAN)
    scene = place.house.scene(README, script=TWO_STEPS)
    phone = place.browser.phone(name)
    try:
        await ask(phone, scene.repository, "Say hello, then goodbye")
        await phone.see("Accept Plan", "button")
        yield scene, phone
        assert await phone.complaints() == []
    finally:
        await place.model.let_go()
        await phone.close()


async def told(phone: Phone) -> str:
    """All that the log shows."""
    await phone.press("Log", "tab")
    await phone.see("Planned 2 steps")
    return await phone.text("main")


async def test_a_restart_of_the_service_in_mid_job_loses_no_line(place: Place) -> None:
    async with asked(place, "restart") as (scene, phone):
        await phone.press("Accept Plan")
        await place.model.let(STEP)
        await phone.see("Step 2 of 2: Say goodbye")

        await place.door.close()
        await phone.see("No connection. This is what was known")
        await phone.looks_good()
        await place.model.let_go()
        await scene.job_until(await scene.newest(), "succeeded")
        await place.door.open()  # the app finds out by itself

        await phone.see("Done: pull request")
        await phone.gone("No connection", "")
        other = place.browser.phone("restart-fresh")
        await other.open(await phone.address())
        await other.sign_in()
        await other.see("Done: pull request")
        assert await told(phone) == await told(other)
        await other.close()


async def test_a_phone_asleep_catches_up(place: Place) -> None:
    async with asked(place, "sleep") as (scene, phone):
        await phone.press("Accept Plan")
        await phone.see("Getting ready")
        await phone.asleep(True)
        await place.model.let_go()
        await scene.job_until(await scene.newest(), "succeeded")
        assert "Done" not in await phone.text("main")

        await phone.asleep(False)

        await phone.see("Done: pull request")
        before = await told(phone)
        await phone.reload()
        await phone.see("Done: pull request")
        assert await told(phone) == before


async def test_two_devices_see_the_same(place: Place) -> None:
    async with asked(place, "first") as (_, first):
        second = place.browser.phone("second", "dark")
        await second.open("/app/jobs")
        await second.sign_in()
        assert await second.address() == "/app/jobs"
        await second.press("Say hello, Waiting for you", "link", exact=False)
        await second.press("Accept Plan")

        await first.see("Getting ready")
        await place.model.let_go()
        for phone in (first, second):
            await phone.see("Done: pull request")
        assert await told(first) == await told(second)
        await second.close()


async def test_a_job_that_a_comment_began_is_watched_at_its_address(place: Place) -> None:
    await place.model.let_go()
    scene = place.house.scene(README, script=TWO_STEPS)
    done = await scene.job(await scene.say("/vibecode say hello"))
    assert done.pull is not None
    phone = place.browser.phone("comment")
    await phone.open(f"/app/job/{done.id}")
    await phone.sign_in()
    await phone.see("Done: pull request")
    assert await phone.address() == f"/app/job/{done.id}"
    await phone.press("‹ Jobs")
    await phone.see(f"Say hello, Done, {scene.repository}", "link", exact=False)
    await phone.looks_good()
    await phone.close()


async def test_a_session_that_ends_leads_to_sign_in_and_back_with_the_words(place: Place) -> None:
    async with asked(place, "session") as (_, phone):
        await phone.write("Change the plan", "Only say hello")
        where = await phone.address()
        await phone.run("fetch('/api/session', { method: 'DELETE' }).then(() => null)")
        await phone.press("Ask for changes")

        await phone.sign_in()

        await phone.see("Accept Plan", "button")
        assert await phone.address() == where
        assert await phone.written("Change the plan") == "Only say hello"


async def test_without_a_connection_the_app_opens_and_shows_what_was_known(place: Place) -> None:
    async with asked(place, "offline") as (_, phone):
        await phone.run("navigator.serviceWorker.ready.then(() => null)")
        await phone.run(
            "new Promise((resolve) => { const kept = () => "
            "Object.keys(localStorage).some((it) => it.startsWith('vibecoder:job:')) "
            "? resolve() : setTimeout(kept, 50); kept(); })"
        )
        await place.door.close()
        await phone.reload()

        await phone.see("The plan waits for you")
        await phone.see("No connection. This is what was known")
        await phone.see("Say goodbye")
        await phone.looks_good()
        await phone.press("Accept Plan")
        await phone.see("can’t be reached")

        await place.door.open()
        await phone.press("Try now")
        await phone.gone("No connection", "")
        await phone.press("Accept Plan")
        await place.model.let_go()
        await phone.see("Done: pull request")


async def test_a_stop_keeps_what_is_done_and_leads_on(place: Place) -> None:
    async with asked(place, "stop") as (scene, phone):
        await phone.press("Accept Plan")
        await place.model.let(STEP)
        await phone.see("Step 2 of 2: Say goodbye")
        await phone.press("Stop")

        await phone.see("Cancelled")
        await scene.job_until(await scene.newest(), "cancelled")
        await phone.press("Changes (1)", "tab")
        await phone.see("+hello")
        await phone.looks_good()

        await place.model.let_go()
        await phone.write("Follow up", "And now in French")
        await phone.key("Control+Enter")
        await phone.see("Accept Plan", "button")
        job = await place.house.store.load(await scene.newest())
        assert job.command.text == "And now in French"
        assert job.command.base == (await scene.get("/pulls?state=all"))[0]["head"]["ref"]
