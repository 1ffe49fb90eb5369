"""The phone's screen in a real browser: a wish, its plan, Accept, the pull request's address."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest
from house import House

from vibecoder import tasks
from vibecoder.local.model.replay import replay

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def _provided() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    there = {
        "mobile/dist": (ROOT / "mobile/dist/index.html").exists(),
        "mobile/node_modules": (ROOT / "mobile/node_modules/playwright-core").exists(),
        "node": shutil.which("node"),
        "chromium (Debian has it)": chromium,
    }
    missing = [name for name, found in there.items() if not found]
    assert not missing, f"`make test-mobile` provides all but node and chromium; missing: {missing}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_accept_plan_ends_in_the_pull_requests_address(
    house: House, tmp_path: Path, scheme: str
) -> None:
    task, sources = tasks.sample(tmp_path)
    scene = house.scene(sources.old, task.issue_title, task.issue_body, replay(task, sources))
    environment = {
        "BASE_URL": house.service,
        "TOKEN": house.world.users["maya"],
        "REPOSITORY": scene.repository,
        "ISSUE": str(scene.issue),
        "SCHEME": scheme,
        "SECONDS": "60",
    }
    script = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "tests/mobile/click.mjs"),
        env=os.environ | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await script.communicate()
    assert script.returncode == 0, complained.decode()

    job = await scene.job_until(await scene.newest(), "succeeded")
    assert job.pull is not None and job.plan is not None
    assert job.approved_by == job.command.actor
    shown = json.loads(said)
    assert shown["pull_request_url"] == job.pull.url
    assert shown["plan"] == job.plan.title.replace("`", "")  # the screen renders Markdown
