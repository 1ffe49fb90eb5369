"""What people say to a job by comment, and what stands in the thread afterwards."""

import io
import re
from decimal import Decimal

import pytest
from house import BOT, House, Scene
from inline_snapshot import snapshot
from rich.console import Console
from scripts import finished, job, planned, write

from jobs.events import Budgeted, Revised
from jobs.queue.store import job_id_of
from jobs.why import of_target
from vibecoder import why as operator
from vibecoder.local.model.script import Request, Turn, turns

README = {"README.md": b"# A library\n"}
POOR = README | {".github/vibecode.yml": b"usd: 0.02\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))


async def conversation(scene: Scene) -> str:
    """The thread as people read it, without what differs each time."""
    comments = await scene.get(f"/issues/{scene.issue}/comments")
    said = []
    for comment in comments:
        who = "App" if comment["user"]["login"] == BOT else comment["user"]["login"]
        text = re.sub(r"<!--.*?-->\n?", "", comment["body"], flags=re.DOTALL).strip()
        text = re.sub(r"<sub>.*</sub>", "<sub>…</sub>", text)
        text = re.sub(r"\b[0-9a-f]{7,40}\b", "1a2b3c4", text)
        said.append(f"{who}: {text}")
    return "\n\n".join(said)


async def test_status_tells_where_it_stands(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    nothing = await scene.say("/vibecode status")
    assert await house.verdict(nothing.key) == "answered"
    await scene.job(await scene.say("/vibecode plan say hello"))
    waits = await scene.say("/vibecode Status?")
    assert await house.verdict(waits.key) == "answered"

    assert await conversation(scene) == snapshot("""\
maya: /vibecode status

App: No job of mine is here, or was within the last days. `/vibecode help` tells what can be said.

maya: /vibecode plan say hello

App: maya asked:
> say hello

### A plan is waiting for your word

**Say hello**

What has to be done.

**Steps**

1. **Say hello**  \n\
   Say hello  \n\
   Done when: done

To go on: `/vibecode accept 1a2b3c4`. To drop it: `/vibecode stop`.
To have it otherwise: `/vibecode revise` and what to change.

<sub>…</sub>

maya: /vibecode Status?

App: ### A plan is waiting for your word

**Say hello**

To go on: `/vibecode accept 1a2b3c4`. To drop it: `/vibecode stop`.
To have it otherwise: `/vibecode revise` and what to change.

<sub>…</sub>\
""")


async def test_retry_tries_the_same_wish_again(house: House) -> None:
    plays = 0

    def script(request: Request) -> Turn:
        nonlocal plays
        if "submit_plan" in request.tools:
            return Turn((planned("Say hello"),))
        plays += 1
        return finished("blocked", "I could not.") if plays == 1 else HELLO(request)

    scene = house.scene(README, script=script)
    first = await scene.job(await scene.say("/vibecode say hello"))
    assert first.state == "failed"
    again = await scene.say("/vibecode retry")

    assert "tried again" in await house.verdict(again.key)
    second = await scene.job(job_id_of(f"retry:{first.id}"))
    assert (second.state, second.command.text) == ("succeeded", "say hello")
    assert await scene.reactions(again) == ["eyes"]
    third = await scene.say("/vibecode retry")
    assert "tried again" in await house.verdict(third.key)
    assert (await scene.job(job_id_of(f"retry:{second.id}"))).state == "succeeded"


async def test_a_retry_needs_something_that_ended(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    await scene.say("/vibecode retry")
    await scene.answer("nothing to try again")
    await scene.job(await scene.say("/vibecode plan say hello"))
    await scene.say("/vibecode retry")
    await scene.answer("nothing to try again yet")


async def test_what_a_stranger_wished_is_not_tried_again(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    strange = await scene.say("/vibecode take this", by="sam")
    await house.verdict(strange.key)
    await scene.say("/vibecode retry")
    await scene.answer("nothing to try again")


async def test_a_job_that_stopped_at_its_ceiling_goes_on_with_a_budget(house: House) -> None:
    scene = house.scene(POOR, script=HELLO)
    poor = await scene.job(await scene.say("/vibecode say hello"))
    assert poor.state == "stopped"
    assert "`/vibecode budget 5`" in await scene.answer("Stopped at a limit")

    much = await scene.say("/vibecode budget 500")
    assert "at most $5.00" in await house.verdict(much.key)
    enough = await scene.say("/vibecode budget $4")
    assert "tried again" in await house.verdict(enough.key)

    done = await scene.job(job_id_of(f"retry:{poor.id}"))
    assert (done.state, done.ceiling_usd) == ("succeeded", Decimal(4))
    assert "budget $4.00, by maya" in await scene.answer("### Done")


async def test_a_budget_changes_what_a_waiting_plan_is_accepted_by(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    await scene.say("/vibecode budget 1.50")
    budget = await scene.answer("budget $1.50, by maya")

    now = await house.store.load(plan.id)
    assert now.digest != plan.digest
    assert f"/vibecode accept {now.digest[:8]}" in budget
    assert (now.ceiling_usd, now.state) == (Decimal("1.50"), "awaiting_approval")
    events = [event for _, event in await house.store.history(plan.id)]
    assert [e.actor.login for e in events if isinstance(e, Budgeted)] == ["maya"]
    await scene.say(f"/vibecode accept {plan.digest[:8]}")
    await scene.answer("not the plan")
    await scene.say(f"/vibecode accept {now.digest[:8]}")
    assert (await scene.job_until(plan.id, "succeeded")).ceiling_usd == Decimal("1.50")


async def test_several_commands_of_one_comment_come_one_after_another(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    said = await scene.say("/vibecode stop\n\n/vibecode say hello\n\n/vibecode statsu\n")

    assert "3 commands" in await house.verdict(f"{said.key}#all")
    assert (await house.store.load(plan.id)).state == "cancelled"
    second = await scene.job(job_id_of(f"{said.key}#2"))
    assert second.state == "succeeded"
    assert "Did you mean" in await scene.answer("/vibecode status`?")


async def test_revise_sends_the_plan_back(house: House) -> None:
    scene = house.scene(README, script=turns(*[Turn((planned("Say hello"),))] * 2))
    first = await scene.job(await scene.say("/vibecode plan say hello"))
    await scene.say("/vibecode revise in French, please")
    async for _, event in house.store.follow(first.id):
        if isinstance(event, Revised):
            break
    assert (event.actor.login, event.text, event.digest) == (
        "maya",
        "in French, please",
        first.digest,
    )


async def test_why_tells_what_became_of_what_was_said(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    strange = await scene.say("/vibecode take this", by="sam")
    await house.verdict(strange.key)
    await scene.job(await scene.say("/vibecode say hello"))
    slip = await scene.say("/vibecode statsu")
    await house.verdict(slip.key)
    why = await scene.say("/vibecode why")
    assert await house.verdict(why.key) == "answered"

    thread = re.sub(
        r"\d\d \w{3} \d\d:\d\d UTC|\bj[0-9a-f]{20}\b|with write permission.*",
        "…",
        await conversation(scene),
    )
    assert thread.rpartition("maya: /vibecode why")[2] == snapshot("""\


App: What became of it:

- …, maya said “statsu”: explained
- …, maya said “say hello”: followed; job … succeeded: All of it is done.
- …, sam said “take this”: refused silently: Sorry, sam: only people …\
""")
    link = f"{house.here.github_url}/{scene.repository}/issues/{scene.issue}#issuecomment-{slip.id}"
    other = house.scene(README)
    elsewhere = await other.say(f"/vibecode why {link}")
    await house.verdict(elsewhere.key)
    assert await other.answer("I know nothing of that")

    lines = await of_target(house.store, link)
    assert len(lines) == 1 and "maya said “statsu”: explained" in lines[0]
    (quoted,) = await of_target(house.store, f"#issuecomment-{strange.id}")
    assert "refused silently" in quoted


async def test_the_operator_asks_why(house: House) -> None:
    scene = house.scene(README)
    said = await scene.say("> /vibecode fix it\n\nI would not.")
    address = f"{house.here.github_url}/{scene.repository}/issues/1#issuecomment-{said.id}"
    await scene.say("/vibecode help")
    await scene.answer("This is what I understand")
    screen = Console(record=True, width=200, file=io.StringIO())
    await operator.run(house.settings, address, screen)
    assert "the comment holds no /vibecode command" in screen.export_text()
    with pytest.raises(operator.WhyError, match="Nothing is known"):
        await operator.run(house.settings, "https://github.example/#issuecomment-1", screen)
