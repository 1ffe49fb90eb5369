"""Hands on the app: a keyboard alone, what can be copied, and addresses that lead nowhere."""

import pytest
from phone import Phone
from phone_place import Place, ask
from scripts import job, write

pytestmark = pytest.mark.browser

README = {"README.md": b"# A library\n"}
HELLO = job(("Say `hello`", [write("hello.txt", "hello\n")]))
FOCUSED = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"
OUTLINE = "getComputedStyle(document.activeElement).outlineStyle"


async def tab_to(phone: Phone, name: str) -> None:
    """By the Tab key alone; whatever has the focus shows it."""
    seen = []
    for _ in range(30):
        await phone.key("Tab")
        seen.append(await phone.run(FOCUSED))
        if seen[-1] == name:
            assert await phone.run(OUTLINE) != "none"
            return
    raise AssertionError(f"Tab does not lead to {name!r}, only to {seen}")


async def test_a_keyboard_is_enough(place: Place) -> None:
    scene = place.house.scene(README, script=HELLO)
    phone = place.browser.phone("keyboard")
    await phone.open()
    await phone.see("Sign in with GitHub", "button")
    await tab_to(phone, "Sign in with GitHub")
    await phone.key("Enter")
    await phone.press("maya")
    await phone.see("What should be built?", "heading")

    await tab_to(phone, "Repository: Choose …")
    await phone.key("Enter")
    await phone.see("Choose a repository", "dialog")
    await tab_to(phone, scene.repository)
    await phone.key("Enter")
    await phone.see(f"Repository: {scene.repository}", "button")
    await phone.gone("Choose a repository", "dialog")
    await phone.write("Your wish", "Say hello")
    await tab_to(phone, "Your wish")
    await phone.key("Control+Enter")
    await phone.see("Accept Plan", "button")
    await tab_to(phone, "Accept Plan")
    await phone.key("Enter")
    await phone.see("Done: pull request")
    await phone.looks_good()
    await phone.close()


async def test_the_plan_can_be_copied(place: Place) -> None:
    scene = place.house.scene(README, script=HELLO)
    phone = place.browser.phone("copy")
    await ask(phone, scene.repository, "Say hello")
    await phone.see("Accept Plan", "button")
    await phone.press("Copy plan")
    await phone.see("Copied", "button")
    copied = await phone.run("navigator.clipboard.readText()")
    assert copied.startswith("# Say `hello`\n\nWhat has to be done.")
    await phone.close()


async def test_an_address_that_leads_nowhere_says_so(place: Place) -> None:
    phone = place.browser.phone("nowhere")
    await phone.open("/app/job/nosuchjob")
    await phone.sign_in()
    await phone.see("There is no job 'nosuchjob' that you can see.")
    await phone.looks_good()
    await phone.open("/app/nosuchplace")
    await phone.press("To the start")
    await phone.see("What should be built?", "heading")
    await phone.close()
