"""The screen at /app: how its files are served, and one click through it in a real browser."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from webhook_front import Front, front_of
from webhook_story import PLAN, ends, follows, opens, plans

from jobs.commands import AcceptPlan, OpenPull, StartJob
from jobs.queue.store import Store
from vibecoder.local.github.app import app as github_app
from vibecoder.local.github.world import World
from vibecoder.local.serve import serve
from webhook.app import FrontDoor

ROOT = Path(__file__).parents[2]
EXPORT = ROOT / "mobile/dist"
PULL = "https://github.example/acme/widget/pull/8"


@pytest.fixture
async def exported(door: FrontDoor, store: Store, tmp_path: Path) -> AsyncIterator[Front]:
    (tmp_path / "dist/_expo/static/js").mkdir(parents=True)
    (tmp_path / "dist/assets").mkdir()
    (tmp_path / "dist/index.html").write_text("<title>the one page</title>")
    (tmp_path / "dist/_expo/static/js/entry-1.js").write_text("start()")
    (tmp_path / "dist/assets/icon.1.png").write_bytes(b"png")
    (tmp_path / "secret").write_text("outside")
    async with front_of(replace(door, phone=tmp_path / "dist"), store) as front:
        yield front


async def test_the_one_page_answers_for_every_screen(exported: Front) -> None:
    page = {"Accept": "text/html,application/xhtml+xml"}
    for path in ("/app/", "/app/index.html", "/app/jobs/j1", "/app/acme/widget.js"):
        answer = await exported.http.get(path, headers=page)
        assert (answer.status_code, answer.text) == (200, "<title>the one page</title>")
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    moved = await exported.http.get("/app?job=j1", headers=page)
    assert (moved.status_code, moved.headers["location"]) == (307, "/app/?job=j1")


async def test_files_with_a_hash_in_their_name_stay(exported: Front) -> None:
    for path in ("/app/_expo/static/js/entry-1.js", "/app/assets/icon.1.png"):
        answer = await exported.http.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


async def test_what_is_no_file_is_no_page_for_programs(exported: Front) -> None:
    for path in ("/app/none.js", "/app/..%2fsecret", "/app/%2e%2e/secret"):
        answer = await exported.http.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_without_an_export_there_is_no_screen(front: Front) -> None:
    assert (await front.http.get("/app/")).status_code == 404


async def works(store: Store) -> None:
    """A worker in a few lines: follows each command as it comes."""
    while True:
        for id_ in await store.unsettled():
            match await store.command(id_):
                case StartJob(key=key):
                    job_id = (await store.submitted(id_)).job_id
                    assert job_id is not None, key
                    await plans(store, job_id)
                case AcceptPlan(job_id=str(job_id), actor=actor):
                    await follows(store, job_id, actor)
                    await ends(store, job_id, "succeeded", "Done in two steps.")
                case OpenPull(job_id=job_id):
                    await opens(store, job_id, PULL)
                case command:
                    raise AssertionError(command)
            await store.settle(id_, "done")
        await asyncio.sleep(0.05)


def browser_or_skip() -> None:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    missing = [
        name
        for name, there in {
            "mobile/dist": EXPORT.exists(),
            "mobile/node_modules": (ROOT / "mobile/node_modules/playwright-core").exists(),
            "node": shutil.which("node"),
            "chromium": chromium,
        }.items()
        if not there
    ]
    if missing:
        sentence = f"make test-mobile provides what is missing: {', '.join(missing)}"
        if os.environ.get("TEST_MOBILE"):
            pytest.fail(sentence)
        pytest.skip(sentence)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_clicked_through_in_a_browser(
    door: FrontDoor, store: Store, tmp_path: Path, scheme: str
) -> None:
    browser_or_skip()
    world = World(tmp_path / "world")
    world.add_repository("acme/widget", {"client.py": b"retry = 1\n"})
    world.add_issue("acme/widget", "Retries are flaky", "They fail together.", "maya")
    async with serve(github_app(world)) as url:
        world.base_url = url
        door = replace(
            door,
            client_id=world.client_id,
            client_secret=world.client_secret,
            api_url=url,
            phone=EXPORT,
        )
        async with front_of(door, store) as front:
            worker = asyncio.create_task(works(store))
            said, complained, code = await click(front.url, world.users["maya"], scheme)
            worker.cancel()
    assert code == 0, complained
    assert json.loads(said)["pull_request_url"] == PULL
    assert json.loads(said)["plan"] == PLAN.title
    (job,) = await store.jobs()
    assert job.command.issue is not None
    assert (job.state, job.command.issue.number) == ("succeeded", 1)
    assert job.approved_by == job.command.actor


async def click(url: str, token: str, scheme: str) -> tuple[str, str, int | None]:
    script = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "tests/mobile/click.mjs"),
        env=os.environ
        | {"BASE_URL": url, "TOKEN": token, "REPOSITORY": "acme/widget", "ISSUE": "1"}
        | {"SCHEME": scheme, "SECONDS": "60"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await script.communicate()
    return said.decode(), complained.decode(), script.returncode
