"""Repositories, issues, branches and changes, as each person may see them."""

from datetime import timedelta
from typing import Any

import pytest
from webhook_place import WISH, Place, detail
from webhook_story import BRANCH

from jobs.events import Cloned, StepCommitted
from vibecoder.local.github import bare, issues
from vibecoder.local.github.records import Actor as Acting
from vibecoder.local.github.records import Label


async def get(place: Place, path: str, by: str = "maya") -> Any:
    answer = await place.ask("GET", path, by=by)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def names(place: Place, by: str = "maya", q: str = "") -> list[str]:
    found = await get(place, f"/api/repos?q={q}", by)
    return [repo["full_name"] for repo in found["repos"]]


async def test_repositories_are_those_of_the_person_and_the_app(place: Place) -> None:
    world = place.world
    newest = world.add_repository("acme/newest", {"a": b""})
    newest.pushed_at += timedelta(hours=1)
    newest.description = "The\x00 newest"
    world.add_repository("acme/without", {"a": b""}, installed=False)
    world.installation.selection = "selected"
    hidden = world.add_repository("acme/hidden", {"a": b""}, private=True)
    hidden.roles.clear()
    hidden.roles["rob"] = "read"
    assert (await names(place))[0] == "acme/newest"
    assert set(await names(place)) == {"acme/newest", "acme/widget", "acme/empty"}
    shown = (await get(place, "/api/repos"))["repos"][0]
    assert shown == {
        "full_name": "acme/newest",
        "private": False,
        "default_branch": "main",
        "push": True,
        "description": "The newest",
    }
    assert await names(place, q="WIDG") == ["acme/widget"]
    assert "acme/hidden" in await names(place, by="rob")
    assert await names(place, by="sam") == []


async def test_a_suspended_app_sees_nothing(place: Place) -> None:
    place.world.suspend()
    assert await names(place) == []


async def test_issues_are_open_ones_newest_first(place: Place) -> None:
    world, name = place.world, "acme/widget"
    second = world.add_issue(name, "Colours are off", "", "maya")
    second.labels.append(Label(1, "good first"))
    closed = world.add_issue(name, "Old", "", "maya")
    repository, maya = world.repository(name), Acting(world.account("maya"))
    issues.edit(world, repository, maya, closed, {"state": "closed"})
    second.updated_at += timedelta(minutes=1)
    found = (await get(place, "/api/repos/acme/widget/issues"))["issues"]
    assert [(issue["number"], issue["title"]) for issue in found] == [
        (second.number, "Colours are off"),
        (1, "Retries are flaky"),
    ]
    assert found[0]["labels"] == ["good first"]
    for q, numbers in (("flaky", [1]), ("%23" + str(second.number), [second.number]), ("no", [])):
        found = (await get(place, f"/api/repos/acme/widget/issues?q={q}"))["issues"]
        assert [issue["number"] for issue in found] == numbers


async def test_branches_begin_with_the_default_one(place: Place) -> None:
    repository = place.world.repository("acme/widget")
    tip = bare.branches(repository.folder)["main"]
    for branch in ("a-first", "zebra", "feature/retry"):
        bare.set_ref(repository.folder, f"refs/heads/{branch}", tip, bare.ZERO)
    path = "/api/repos/acme/widget/branches"
    assert await get(place, path) == {"branches": ["main", "a-first", "feature/retry", "zebra"]}
    assert await get(place, f"{path}?q=retry") == {"branches": ["feature/retry"]}
    assert await get(place, "/api/repos/acme/empty/branches") == {"branches": []}


async def test_what_a_job_changed(place: Place) -> None:
    job_id = (await place.ask("POST", "/api/plans", WISH)).json()["job_id"]
    path = f"/api/jobs/{job_id}/diff"
    assert await get(place, path) == {"base": "", "head": "", "truncated": False, "files": []}
    folder = place.world.repository("acme/widget").folder
    base = bare.branches(folder)["main"]
    blobs = [bare.write_blob(folder, data) for data in (b"retry = 2\n", b"\0\1\2")]
    entries = [("client.py", "100644", blobs[0]), ("logo.png", "100644", blobs[1])]
    who = bare.Person("bot", "bot@example.com", "2026-11-20T10:00:00Z")
    head = bare.write_commit(folder, bare.write_tree(folder, base, entries), [base], "Retry", who)
    cloned = Cloned(0, "main", base, BRANCH, 1, 1, 0.1)
    pushed = StepCommitted(0, 1, head, "Retry", ("client.py", "logo.png"), 1, 1, 3)
    await place.store.append(job_id, [cloned, pushed])
    found = await get(place, path, by="rob")
    assert (found["base"], found["head"], found["truncated"]) == (base, head, False)
    code, picture = found["files"]
    assert (code["path"], code["status"], code["added"], code["deleted"]) == (
        "client.py", "modified", 1, 1,
    )  # fmt: skip
    assert "-retry = 1\n+retry = 2" in code["patch"]
    assert (picture["path"], picture["status"], picture["patch"]) == ("logo.png", "added", None)
    assert picture["previous_path"] is None
    detail(await place.ask("GET", path, by="sam"), 404)
    lost = StepCommitted(0, 2, "2" * 40, "Gone", (), 1, 1, 4)
    await place.store.append(job_id, [lost])
    assert "no longer has" in detail(await place.ask("GET", path), 404)


@pytest.mark.parametrize("path", ["issues", "branches"])
async def test_strangers_learn_nothing(place: Place, path: str) -> None:
    answer = await place.ask("GET", f"/api/repos/acme/widget/{path}", by="sam")
    assert "no repository" in detail(answer, 404)
