"""What other people's clients ask for beyond what the App itself needs."""

import io
import tarfile
import zipfile
from typing import Any

import pytest

from vibecoder.local.github import bare

REPO = "/repos/acme/widgets"


async def _branch(world: Any, api: Any, name: str = "fix/one") -> str:
    repo = world.repository("acme/widgets")
    tip = bare.branches(repo.folder)["main"]
    made = await api("POST", f"{REPO}/git/refs", json={"ref": f"refs/heads/{name}", "sha": tip})
    assert made.status_code == 201
    put = {"message": "Turn twice", "content": "eA==", "branch": name}
    answer = await api("PUT", f"{REPO}/contents/src/turn.py", json=put)
    return str(answer.json()["commit"]["sha"])


async def _pull(world: Any, api: Any, by: str = "installation") -> int:
    await _branch(world, api)
    opened = {"title": "One", "head": "fix/one", "base": "main"}
    return int((await api("POST", f"{REPO}/pulls", by, json=opened)).json()["number"])


async def test_comments_of_all_issues_are_listed(world: Any, api: Any) -> None:
    for number in (1, 2):
        await api("POST", f"{REPO}/issues", json={"title": f"Issue {number}"})
        await api("POST", f"{REPO}/issues/{number}/comments", json={"body": f"On {number}"})
    answer = await api("GET", f"{REPO}/issues/comments")
    assert [one["body"] for one in answer.json()] == ["On 1", "On 2"]


async def test_names_with_slashes_are_found_everywhere(world: Any, api: Any) -> None:
    sha = await _branch(world, api)
    label = {"name": "kind/bug", "color": "ff0000"}
    assert (await api("POST", f"{REPO}/labels", json=label)).status_code == 201
    for path in ("kind/bug", "kind%2Fbug"):
        assert (await api("GET", f"{REPO}/labels/{path}")).json()["name"] == "kind/bug"
    await api("POST", f"{REPO}/issues", json={"title": "One", "labels": ["kind/bug"]})
    gone = await api("DELETE", f"{REPO}/issues/1/labels/kind%2Fbug")
    assert gone.status_code == 200 and gone.json() == []
    opened = {"title": "One", "head": "fix/one", "base": "main"}
    await api("POST", f"{REPO}/pulls", json=opened)
    for ref in ("fix%2Fone", sha):
        found = await api("GET", f"{REPO}/commits/{ref}/pulls")
        assert [one["head"]["sha"] for one in found.json()] == [sha]


async def test_labels_are_renamed_where_they_are_used(api: Any) -> None:
    await api("POST", f"{REPO}/issues", json={"title": "One", "labels": ["bug", "old"]})
    taken = await api("PATCH", f"{REPO}/labels/old", json={"new_name": "bug"})
    assert taken.status_code == 422
    changed = {"new_name": "new", "color": "00FF00", "description": "Fresh"}
    assert (await api("PATCH", f"{REPO}/labels/old", json=changed)).status_code == 200
    shown = (await api("GET", f"{REPO}/issues/1")).json()["labels"]
    assert [(one["name"], one["color"]) for one in shown][1] == ("new", "00ff00")
    assert (await api("GET", f"{REPO}/labels/old")).status_code == 404


async def test_a_review_is_asked_for_given_and_dismissed(world: Any, api: Any) -> None:
    number = await _pull(world, api)
    reviews = f"{REPO}/pulls/{number}"
    asked = await api("POST", f"{reviews}/requested_reviewers", json={"reviewers": ["maya"]})
    assert [who["login"] for who in asked.json()["requested_reviewers"]] == ["maya"]
    stranger = await api("POST", f"{reviews}/requested_reviewers", json={"reviewers": ["sam"]})
    assert stranger.status_code == 422
    comment = {"path": "src/turn.py", "line": 1, "body": "Twice?"}
    given = {"event": "REQUEST_CHANGES", "body": "Almost.", "comments": [comment]}
    made = (await api("POST", f"{reviews}/reviews", json=given)).json()
    assert made["state"] == "CHANGES_REQUESTED"
    assert (await api("GET", reviews)).json()["requested_reviewers"] == []
    assert [one["body"] for one in (await api("GET", f"{reviews}/comments")).json()] == ["Twice?"]
    dismissal = {"message": "Done."}
    await api("PUT", f"{reviews}/reviews/{made['id']}/dismissals", json=dismissal)
    listed = (await api("GET", f"{reviews}/reviews")).json()
    assert [one["state"] for one in listed] == ["DISMISSED"]


@pytest.mark.parametrize(
    "given", [{"event": "APPROVE"}, {"event": "COMMENT"}, {"event": "SHRUG", "body": "?"}]
)
async def test_reviews_that_say_nothing_or_praise_oneself_are_refused(
    world: Any, api: Any, given: dict[str, str]
) -> None:
    number = await _pull(world, api, by="maya")
    answer = await api("POST", f"{REPO}/pulls/{number}/reviews", json=given)
    assert answer.status_code == 422
    assert (await api("GET", f"{REPO}/pulls/{number}/reviews")).json() == []


async def test_commit_statuses_add_up(world: Any, api: Any) -> None:
    sha = bare.branches(world.repository("acme/widgets").folder)["main"]
    refused = await api("POST", f"{REPO}/statuses/{sha}", "installation", json={"state": "success"})
    assert refused.status_code == 403, "the App was not granted statuses:write"
    for state in ("pending", "success"):
        made = {"state": state, "context": "ci"}
        assert (await api("POST", f"{REPO}/statuses/{sha}", json=made)).status_code == 201
    await api("POST", f"{REPO}/statuses/{sha}", json={"state": "error", "context": "lint"})
    combined = (await api("GET", f"{REPO}/commits/main/status")).json()
    assert (combined["state"], combined["total_count"]) == ("failure", 2)
    assert len((await api("GET", f"{REPO}/commits/{sha}/statuses")).json()) == 3


async def test_archives_come_by_a_redirect_that_needs_no_token(
    world: Any, api: Any, http: Any
) -> None:
    for kind in ("tarball/main", "zipball"):
        first = await api("GET", f"{REPO}/{kind}")
        assert first.status_code == 302
        data = (await http.get(first.headers["location"])).content
        if kind == "zipball":
            names = zipfile.ZipFile(io.BytesIO(data)).namelist()
        else:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                names = archive.getnames()
        assert any(name.endswith("/src/widget.py") for name in names)
    guessed = first.headers["location"].partition("?")[0] + "?token=" + "0" * 32
    assert (await http.get(guessed)).status_code == 404


async def test_graphql_says_that_there_is_none(api: Any) -> None:
    for path in ("/graphql", "/api/graphql"):
        answer = await api("POST", path, json={"query": "{ viewer { login } }"})
        assert "no GraphQL" in answer.json()["errors"][0]["message"]


async def test_facts_that_clients_like_to_show(api: Any) -> None:
    assert (await api("GET", f"{REPO}/languages")).json() == {"Python": 27}
    assert (await api("GET", f"{REPO}/releases")).json() == []
    assert (await api("GET", "/orgs/acme")).json()["login"] == "acme"
    assert (await api("GET", "/orgs/maya")).status_code == 404
    assert (await api("GET", "/user/emails")).json()[0]["primary"] is True


async def test_media_types_render_what_people_wrote(api: Any) -> None:
    await api("POST", f"{REPO}/issues", json={"title": "One", "body": "**bold**"})
    path = f"{REPO}/issues/1"
    full = (await api("GET", path, Accept="application/vnd.github.v3.full+json")).json()
    assert full["body"] == full["body_text"] == "**bold**"
    assert "<strong>bold</strong>" in full["body_html"]
    html = (await api("GET", path, Accept="application/vnd.github.html+json")).json()
    assert "body" not in html and "body_text" not in html
