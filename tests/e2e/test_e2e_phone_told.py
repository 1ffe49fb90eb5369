"""Notifications in the app: switched on, shown as they were sent, and gone with the session."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from house import house
from phone import Phone, browser, missing
from phone_place import Door, Held, Place
from push_service import Browser, PushService, push_service
from scripts import job, write

from jobs.queue.subscriptions import Subscriptions, id_of
from jobs.webpush import Vapid

pytestmark = pytest.mark.browser

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))

# Chromium has its maker's push service or none. This one answers as that does, on loopback; what
# it knows stays over reloads, as a browser's own does.
PUSH_MANAGER = """
const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (it) => it.charCodeAt(0));
const made = (kept) => ({
  endpoint: kept.endpoint,
  options: { applicationServerKey: bytes(kept.key).buffer },
  toJSON: () => ({ endpoint: kept.endpoint, expirationTime: null, keys: kept.keys }),
  unsubscribe: async () => (localStorage.removeItem('browser-push'), true),
});
PushManager.prototype.getSubscription = async () => {
  const kept = localStorage.getItem('browser-push');
  return kept ? made(JSON.parse(kept)) : null;
};
PushManager.prototype.subscribe = async ({ applicationServerKey: key }) => {
  const kept = { ...GIVEN, key };
  localStorage.setItem('browser-push', JSON.stringify(kept));
  return made(kept);
};
"""
SHOWN = """
navigator.serviceWorker.ready
  .then((registration) => registration.getNotifications())
  .then((all) => all.map(({ title, body, tag, data }) => ({ title, body, tag, data })))
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pushes() -> AsyncIterator[PushService]:
    async with push_service() as pushes:
        yield pushes


@pytest_asyncio.fixture(scope="module", loop_scope="session", name="place")
async def _place(
    pushes: PushService, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Place]:
    assert not missing(), f"`make test-mobile` provides all but node and chromium: {missing()}"
    folder = tmp_path_factory.mktemp("told")
    async with house(folder, VIBECODER_PUSH_HOSTS=pushes.place) as running:
        door = Door(running)
        await door.open()
        running.world.callback_urls = (f"{door.url}/auth/github/callback",)
        async with browser(door.url) as chromium:
            yield Place(running, Held(), door, chromium)
        await door.close()


async def phone_of(place: Place, pushes: PushService, name: str) -> tuple[Phone, Browser]:
    """A phone, and its browser as the push service knows it."""
    theirs = pushes.browser(name, Vapid(place.house.settings.session_key()).public)
    phone = place.browser.phone(name)
    await phone.prepare(f"const GIVEN = {json.dumps(theirs.subscription())};{PUSH_MANAGER}")
    await phone.open("/app/you")
    await phone.sign_in()
    await phone.see("Notify me", "switch")
    return phone, theirs


async def devices(place: Place, login: str = "maya") -> list[str]:
    """The endpoints at which a person is told."""
    person = place.house.world.account(login).id
    return [each.browser.endpoint for each in await Subscriptions(place.house.store).of(person)]


async def test_from_the_switch_to_the_job_that_it_is_about(
    place: Place, pushes: PushService
) -> None:
    phone, theirs = await phone_of(place, pushes, "whole")
    await phone.press("Notify me", "switch")
    scene = place.house.scene(README, script=HELLO)
    await subscribed(place, theirs)

    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    told = await theirs.one()
    for _ in range(2):  # the second one, because its sender did not hear that the first came
        await phone.push(**told.said)
    shown = await notification(phone, "Plan ready")

    assert shown["title"] == f"Plan ready: {plan.plan.title} — {scene.repository}"
    assert shown["tag"] == plan.id
    await phone.open(shown["data"]["url"])
    await phone.see("Accept Plan", "button")
    await phone.press("Accept Plan")
    await phone.push(**(await theirs.one(2)).said)
    shown = await notification(phone, "Finished")
    assert shown["title"] == f"Finished: {plan.plan.title} — {scene.repository}"
    await phone.close()


async def test_a_start_says_it_again_and_signing_out_ends_it(
    place: Place, pushes: PushService
) -> None:
    phone, theirs = await phone_of(place, pushes, "again")
    await phone.press("Notify me", "switch")
    await subscribed(place, theirs)

    # The service forgot it, such as with an older session.
    person = place.house.world.account("maya").id
    await Subscriptions(place.house.store).drop(person, id_of(theirs.endpoint))
    await phone.reload()
    await subscribed(place, theirs)

    await phone.press("Sign out")
    await phone.see("Sign in with GitHub", "button")
    assert theirs.endpoint not in await devices(place)
    assert await phone.run("localStorage.getItem('browser-push')") is None
    await phone.close()


async def test_another_key_makes_another_subscription(place: Place, pushes: PushService) -> None:
    phone, theirs = await phone_of(place, pushes, "other-key")
    await phone.press("Notify me", "switch")
    await subscribed(place, theirs)
    await phone.run(
        """
        const kept = JSON.parse(localStorage.getItem('browser-push'));
        localStorage.setItem('browser-push', JSON.stringify({ ...kept, key: 'AAAA' }));
        """
    )
    await phone.reload()

    async def renewed() -> bool:
        kept = json.loads(await phone.run("localStorage.getItem('browser-push')"))
        return bool(kept["key"] == theirs.application_key)

    await eventually(renewed)
    await phone.close()


async def subscribed(place: Place, theirs: Browser) -> None:
    async def told() -> bool:
        return theirs.endpoint in await devices(place)

    await eventually(told)


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await true():  # noqa: ASYNC110  # a browser sets no event of ours
            await asyncio.sleep(0.05)


async def notification(phone: Phone, lead: str) -> dict[str, Any]:
    """The only one on the screen, once it begins like that."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = await phone.run(SHOWN)
        return len(found) == 1 and found[0]["title"].startswith(lead)

    await eventually(there)
    return found[0]
