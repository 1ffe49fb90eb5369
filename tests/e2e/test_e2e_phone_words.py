"""Words between a person and the agent, on the phone: the plan as it comes, changes, steering."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from house import Scene
from phone import Phone
from phone_place import Place, ask
from scripts import finished, planned, shell, write

from vibecoder.local.model.script import Request, Script, Turn, call, say, text_of

pytestmark = pytest.mark.browser

README = {"README.md": b"# A library\n"}


@asynccontextmanager
async def asked(place: Place, name: str, script: Script) -> AsyncIterator[tuple[Scene, Phone]]:
    """A phone that just asked for a plan."""
    scene = place.house.scene(README, script=script)
    phone = place.browser.phone(name)
    try:
        await ask(phone, scene.repository, "Say hello")
        yield scene, phone
        await phone.looks_good()
    finally:
        await place.model.let_go()
        await phone.close()


def planning(request: Request) -> Turn:
    """Looks around first, and says so; plans in the language that it was asked for."""
    told = text_of(request.news)
    if "in French" in told:
        return Turn((say("French it is."), planned("Say bonjour")))
    if request.turns == 0:
        return Turn((say("I **look around** first."), call("list_files", path=".")))
    return Turn((planned("Say hello"),))


async def test_the_plan_streams_in_and_is_changed_by_its_steps(place: Place) -> None:
    await place.model.let(1)
    async with asked(place, "revise", planning) as (scene, phone):
        await phone.see("look around")
        await phone.see("Reading the code and planning")
        await phone.looks_good()
        await place.model.let_go()
        await phone.see("Accept Plan", "button")

        await phone.press("Change step 1")
        assert await phone.written("Change the plan") == "Step 1 should be: Say hello. Say hello"
        await phone.write("Change the plan", "Step 1 should be: Say hello in French")
        await phone.press("Ask for changes")

        await phone.see("Say bonjour", "heading")
        await phone.see("Accept Plan", "button")
        assert await phone.written("Change the plan") == ""
        await phone.press("Log", "tab")
        await phone.see("Step 1 should be: Say hello in French")
        await phone.see("French it is.")
        job = await scene.house.store.load(await scene.newest())
        assert job.plan is not None and job.plan.title == "Say bonjour"


def listening(request: Request) -> Turn:
    """Plans, then works on until somebody says something, and does that."""
    if "submit_plan" in request.tools:
        return Turn((planned("Say hello"),))
    results = [result.tool for result in request.exchanges if not result.is_error]
    if "from maya" in text_of(request.news):
        return Turn((say("I write it in capitals."), write("hello.txt", "HELLO\n")))
    if "write_file" not in results:
        return Turn((shell(f"echo {request.turns}"),))
    if "finish_step" not in results:
        return Turn((call("finish_step", summary="Said it.", run_ids=[]),))
    return finished()


async def test_the_agent_is_told_something_while_it_works(place: Place) -> None:
    async with asked(place, "steer", listening) as (_, phone):
        await phone.press("Accept Plan")
        await place.model.let(2)
        await phone.see("Step 1 of 1: Say hello")
        await phone.write("Tell the agent", "In capitals, please.")
        await phone.press("Send to the agent")
        await phone.see("Sent; the agent reads it before its next move.")
        await place.model.let_go()

        await phone.see("Done: pull request")
        await phone.press("Log", "tab")
        await phone.see("In capitals, please.")
        await phone.see("I write it in capitals.")
        await phone.press("Changes (1)", "tab")
        await phone.see("+HELLO")
