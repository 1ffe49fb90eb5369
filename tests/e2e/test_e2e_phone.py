"""The app in a real browser: from a wish to the pull request, in light and in dark."""

from pathlib import Path

import pytest
from phone import ROOT
from phone_place import Place, choose

from vibecoder import tasks
from vibecoder.local.model.replay import replay

pytestmark = pytest.mark.browser


async def test_the_app_stays_small() -> None:
    scripts = list((ROOT / "mobile/dist").rglob("*.js.gz"))
    assert scripts, "`make mobile` compresses what it builds"
    assert sum(script.stat().st_size for script in scripts) < 400_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_wish_ends_in_the_pull_requests_address(
    place: Place, tmp_path: Path, scheme: str
) -> None:
    task, sources = tasks.sample(tmp_path)
    house = place.house
    scene = house.scene(sources.old, task.issue_title, task.issue_body, replay(task, sources))
    phone = place.browser.phone(f"whole-{scheme}", scheme)

    await phone.open()
    await phone.see("Sign in with GitHub", "button")
    await phone.looks_good()
    await phone.sign_in()

    await choose(phone, scene.repository)
    await phone.press("Issue: None")
    await phone.see("Choose an issue", "dialog")
    await phone.looks_good()
    await phone.press(f"#{scene.issue} {task.issue_title}")
    await phone.write("Your wish", "Fix what the issue describes")
    await phone.looks_good()
    await phone.press("Make a plan")

    await phone.see("Accept Plan", "button")
    await phone.looks_good()
    await phone.press("Accept Plan")

    await phone.see("Done: pull request", "")
    job = await scene.job_until(await scene.newest(), "succeeded")
    assert job.pull is not None and job.plan is not None
    assert job.approved_by == job.command.actor
    assert await phone.link("Open pull request") == job.pull.url
    assert await phone.address() == f"/app/job/{job.id}"
    await phone.looks_good()
    for part in ("Changes", "Log"):
        await phone.press(part, "tab", exact=False)
        await phone.looks_good()
    await phone.close()
