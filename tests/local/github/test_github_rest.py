"""The REST API over plain HTTP: credentials, permissions, refusals, pages, limits."""

import base64
import time
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from vibecoder.local.github import bare

REPO = "/repos/acme/widgets"


@pytest.mark.parametrize("root", ["", "/api/v3"])
async def test_the_app_proves_itself_with_a_jwt(api: Any, root: str) -> None:
    answer = await api("GET", f"{root}/app", "app")
    assert answer.json()["slug"] == "cloud-vibecoder"


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": lambda now: now + 1000}, "too far in the future"),
        ({"exp": lambda now: now - 1}, "('exp') must be a numeric value"),
        ({"iat": lambda now: now + 300}, "('iat') must be an Integer"),
        ({"iss": lambda now: "nobody"}, "Integration not found"),
        ({"iat": lambda now: now - 600}, "too far in the future"),
    ],
)
async def test_bad_jwts_are_refused_in_githubs_words(
    api: Any, claims: dict[str, Any], words: str
) -> None:
    moment = int(time.time())
    token = api.jwt(**{name: value(moment) for name, value in claims.items()})
    answer = await api("GET", "/app", token)
    assert answer.status_code in (401, 404) and words in answer.json()["message"]


async def test_jwts_of_other_keys_and_algorithms_are_refused(world: Any, api: Any) -> None:
    moment = int(time.time())
    claims = {"iat": moment, "exp": moment + 60, "iss": world.client_id}
    token = jwt.encode(claims, "x" * 32, algorithm="HS256")
    head, body, signature = api.jwt().split(".")
    broken = f"{head}.{body}.{signature[:-6]}AAAAAA"
    for one in (token, broken):
        answer = await api("GET", "/app", one)
        assert answer.status_code == 401
        assert answer.json()["message"] == "A JSON web token could not be decoded"


async def test_both_forms_of_installation_tokens(world: Any, api: Any) -> None:
    path = f"/app/installations/{world.installation_id}/access_tokens"
    stateless = (await api("POST", path, "app")).json()
    assert stateless["token"].startswith(f"ghs_{world.app_id}_")
    assert 450 < len(stateless["token"]) < 600
    assert stateless["expires_at"].endswith("Z") and len(stateless["expires_at"]) == 20
    classic = (await api("POST", path, "app", X_GitHub_Stateless_S2S_Token="disabled")).json()
    assert len(classic["token"]) == 40
    for minted in (stateless, classic):
        found = await api("GET", "/installation/repositories", minted["token"])
        assert [it["name"] for it in found.json()["repositories"]] == ["widgets"]


async def test_tokens_are_narrowed_and_expire(world: Any, api: Any) -> None:
    other = world.add_repository("acme/other", {"a": b"a"}, private=True)
    narrow = await api.mint(repository_ids=[other.id], permissions={"issues": "read"})
    assert narrow["permissions"] == {"issues": "read", "metadata": "read"}
    token = narrow["token"]
    assert (await api("GET", "/repos/acme/other", token)).status_code == 200
    # Public, so it can be read, but it was not granted.
    refused = await api("POST", f"{REPO}/issues", token, json={"title": "No"})
    assert refused.status_code == 403
    refused = await api("POST", "/repos/acme/other/issues", token, json={"title": "No"})
    assert refused.status_code == 403
    assert refused.headers["x-accepted-github-permissions"] == "issues=write"
    world.expire_tokens()
    expired = await api("GET", "/repos/acme/other", token)
    assert expired.status_code == 401 and expired.json()["message"] == "Bad credentials"
    path = f"/app/installations/{world.installation_id}/access_tokens"
    for body in ({"repository_ids": [1]}, {"permissions": {"workflows": "write"}}):
        assert (await api("POST", path, "app", json=body)).status_code == 422


async def test_permissions_taken_from_the_installation_reach_its_tokens(
    world: Any, http: httpx.AsyncClient, api: Any
) -> None:
    world.add_issue("acme/widgets", "One", None, "rob")
    path = f"{REPO}/issues/1/comments"
    said = await api("POST", path, "installation", json={"body": "a"})
    assert said.status_code == 201
    await http.put(
        f"/_admin/installations/{world.installation_id}/permissions", json={"contents": "read"}
    )
    said = await api("POST", path, "installation", json={"body": "b"})
    assert said.status_code == 403
    await http.put(f"/_admin/installations/{world.installation_id}/suspended")
    read = await api("GET", REPO, "installation")
    assert (read.status_code, read.json()["message"]) == (
        403,
        "This installation has been suspended",
    )


async def test_the_right_to_pull_requests_opens_their_conversation_alone(
    world: Any, http: httpx.AsyncClient, api: Any
) -> None:
    world.add_issue("acme/widgets", "One", None, "maya")
    change = {"branch": "fix", "files": {"a.txt": "1"}}
    await http.post("/_admin/repositories/acme/widgets/commits", json=change)
    pull = {"title": "Fix", "head": "fix", "base": "main"}
    await api("POST", f"{REPO}/pulls", "maya", json=pull)
    token = (await api.mint(permissions={"pull_requests": "write"}))["token"]
    for number, status in ((1, 403), (2, 201)):
        path = f"{REPO}/issues/{number}/comments"
        assert (await api("POST", path, token, json={"body": "x"})).status_code == status


async def test_people_act_with_their_own_permission(world: Any, api: Any) -> None:
    world.add_repository("acme/private", {"a": b"a"}, private=True)
    assert (await api("GET", "/repos/acme/private", "sam")).status_code == 404
    assert (await api("GET", "/repos/acme/private", "")).status_code == 404
    assert (await api("GET", "/repos/acme/private", "rob")).status_code == 200
    world.add_issue("acme/widgets", "One", None, "rob")
    said = await api("POST", f"{REPO}/issues/1/comments", "sam", json={"body": "me too"})
    assert said.status_code == 201
    labels = await api("POST", f"{REPO}/issues/1/labels", "sam", json={"labels": ["bug"]})
    assert labels.status_code == 403
    closed = await api("PATCH", f"{REPO}/issues/1", "sam", json={"state": "closed"})
    assert closed.status_code == 403
    closed = await api("PATCH", f"{REPO}/issues/1", "rob", json={"state": "closed"})
    assert closed.json()["state"] == "closed"
    anonymous = await api("POST", f"{REPO}/issues", "", json={"title": "x"})
    assert anonymous.status_code == 401


@pytest.mark.parametrize(
    ("login", "permission"), [("maya", "write"), ("rob", "read"), ("sam", "read")]
)
async def test_permission_of_collaborators(api: Any, login: str, permission: str) -> None:
    path = f"{REPO}/collaborators/{login}/permission"
    found = (await api("GET", path, "installation")).json()
    assert found["permission"] == permission
    assert found["user"]["permissions"]["push"] is (permission == "write")


async def test_maintain_counts_as_write_and_triage_as_read(world: Any, api: Any) -> None:
    world.set_role("acme/widgets", "sam", "maintain")
    path = f"{REPO}/collaborators/sam/permission"
    found = (await api("GET", path, "installation")).json()
    assert (found["permission"], found["role_name"]) == ("write", "maintain")
    world.set_role("acme/widgets", "sam", "triage")
    found = (await api("GET", path, "installation")).json()
    assert (found["permission"], found["role_name"]) == ("read", "triage")


async def test_lists_are_paged_with_links(world: Any, api: Any) -> None:
    for number in range(7):
        world.add_issue("acme/widgets", f"Issue {number}", None, "rob")
    seen, path, pages = [], f"/api/v3{REPO}/issues?per_page=3&state=all", 0
    while path:
        answer = await api("GET", path)
        seen += [it["number"] for it in answer.json()]
        pages += 1
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert seen == [7, 6, 5, 4, 3, 2, 1] and pages == 3
    assert set(answer.links) == {"first", "prev"}


async def test_etags_spare_the_body(api: Any) -> None:
    first = await api("GET", REPO)
    again = await api("GET", REPO, If_None_Match=first.headers["etag"])
    assert again.status_code == 304 and not again.content
    other = await api("GET", REPO, If_None_Match='W/"other"')
    assert other.status_code == 200


async def test_rate_limits_are_counted_and_kept(world: Any, api: Any) -> None:
    world.rate_limit = 2
    left = [(await api("GET", REPO)).headers["x-ratelimit-remaining"] for _ in range(2)]
    assert left == ["1", "0"]
    refused = await api("GET", REPO)
    assert refused.status_code == 403 and "rate limit exceeded" in refused.json()["message"]
    assert int(refused.headers["x-ratelimit-reset"]) > time.time()


async def test_refusals_have_githubs_shape(world: Any, http: httpx.AsyncClient, api: Any) -> None:
    missing = await api("GET", f"{REPO}/issues/99")
    assert missing.json()["message"] == "Not Found" and missing.json()["status"] == "404"
    assert missing.headers["x-github-request-id"]
    bad = await api("GET", REPO, "ghs_nonsense")
    assert (bad.status_code, bad.json()["message"]) == (401, "Bad credentials")
    auth = {"Authorization": f"Bearer {world.users['maya']}"}
    broken = await http.post(f"{REPO}/issues", content=b"{", headers=auth)
    assert (broken.status_code, broken.json()["message"]) == (400, "Problems parsing JSON")
    unknown = await http.get("/repos/acme/widgets/nothing/here")
    assert unknown.status_code == 404 and unknown.json()["documentation_url"]
    untitled = await api("POST", f"{REPO}/issues", json={"title": ""})
    assert untitled.json()["errors"] == [
        {"resource": "Issue", "code": "missing_field", "field": "title"}
    ]


async def test_size_limits(world: Any, api: Any) -> None:
    issue = world.add_issue("acme/widgets", "One", "short", "maya")
    path = f"{REPO}/issues/1/comments"
    fits = await api("POST", path, json={"body": "x" * 262_144})
    assert fits.status_code == 201
    long = await api("POST", path, json={"body": "é" * 131_073})
    assert long.status_code == 422
    assert "maximum is 65536 characters" in long.json()["errors"][0]["message"]
    # GitHub says 200 and keeps the old body.
    silent = await api("PATCH", f"{REPO}/issues/1", json={"body": "x" * 262_145})
    assert silent.status_code == 200 and issue.body == "short"


async def test_check_runs_have_limits(api: Any) -> None:
    head = (await api("GET", f"{REPO}/git/ref/heads/main")).json()["object"]["sha"]
    base = {"name": "vibecode", "head_sha": head}
    path = f"{REPO}/check-runs"

    def note(line: int) -> dict[str, Any]:
        return {
            "path": "a", "start_line": line, "end_line": line,
            "annotation_level": "notice", "message": "m",
        }  # fmt: skip

    action = {"label": "L", "identifier": "i", "description": "d"}
    for bad in (
        {"output": {"title": "t", "summary": "s" * 65_536}},
        {"output": {"title": "t"}},
        {"output": {"title": "t", "summary": "s", "annotations": [note(1)] * 51}},
        {"actions": [action] * 4},
        {"actions": [action | {"label": "L" * 21}]},
        {"status": "completed"},
        {"conclusion": "wonderful"},
        {"head_sha": "0" * 40},
    ):
        answer = await api("POST", path, "installation", json=base | bad)
        assert answer.status_code == 422, bad
    assert (await api("POST", path, "maya", json=base)).status_code == 403
    made = (await api("POST", path, "installation", json=base)).json()
    for line in (1, 2):
        output = {"title": "t", "summary": "s", "annotations": [note(line)]}
        await api("PATCH", f"{path}/{made['id']}", "installation", json={"output": output})
    notes = (await api("GET", f"{path}/{made['id']}/annotations", "installation")).json()
    assert [it["start_line"] for it in notes] == [1, 2]


async def test_pull_requests_are_refused_with_reasons(world: Any, api: Any) -> None:
    head = (await api("GET", f"{REPO}/git/ref/heads/main")).json()["object"]["sha"]
    await api("POST", f"{REPO}/git/refs", json={"ref": "refs/heads/same", "sha": head})
    body = {"title": "A", "head": "same", "base": "main"}
    answer = await api("POST", f"{REPO}/pulls", json=body)
    assert answer.json()["errors"][0]["message"] == "No commits between main and same"
    answer = await api("POST", f"{REPO}/pulls", json=body | {"head": "none"})
    assert answer.json()["errors"][0]["field"] == "head"


async def test_a_pull_request_is_edited_diffed_and_merged(
    world: Any, http: httpx.AsyncClient, api: Any
) -> None:
    world.add_issue("acme/widgets", "Broken", None, "rob")
    await http.post(
        "/_admin/repositories/acme/widgets/commits", json={"branch": "fix", "files": {"n.txt": "1"}}
    )
    body = {"title": "Fix", "head": "fix", "base": "main", "body": "Closes #1", "draft": True}
    made = (await api("POST", f"{REPO}/pulls", "installation", json=body)).json()
    path = f"{REPO}/pulls/{made['number']}"
    diff = await api("GET", path, Accept="application/vnd.github.diff")
    assert diff.text.startswith("diff --git a/n.txt b/n.txt")
    refused = await api("PUT", f"{path}/merge")
    assert (refused.status_code, "draft" in refused.json()["message"]) == (405, True)
    admin = f"/_admin/repositories/acme/widgets/pulls/{made['number']}"
    await http.post(f"{admin}/ready", json={})
    merged = await api("PUT", f"{path}/merge", json={"merge_method": "squash"})
    assert merged.json()["merged"] is True
    pull = (await api("GET", path)).json()
    assert pull["merged"] and pull["merged_by"]["login"] == "maya"
    assert (await api("GET", f"{REPO}/issues/1")).json()["state"] == "closed"
    content = (await api("GET", f"{REPO}/contents/n.txt")).json()
    assert base64.b64decode(content["content"]) == b"1"


async def test_commits_are_made_through_the_git_database(api: Any) -> None:
    main = (await api("GET", f"{REPO}/git/ref/heads/main")).json()["object"]["sha"]
    blob = await api("POST", f"{REPO}/git/blobs", "installation", json={"content": "new"})
    entry = {"path": "d/new.txt", "mode": "100644", "type": "blob", "sha": blob.json()["sha"]}
    tree = await api(
        "POST", f"{REPO}/git/trees", "installation", json={"base_tree": main, "tree": [entry]}
    )
    commit = await api(
        "POST",
        f"{REPO}/git/commits",
        "installation",
        json={"message": "Add", "tree": tree.json()["sha"], "parents": [main]},
    )
    made = commit.json()
    assert made["author"]["name"] == "cloud-vibecoder[bot]"
    path = f"{REPO}/git/refs/heads/main"
    moved = await api("PATCH", path, "installation", json={"sha": made["sha"]})
    assert moved.status_code == 200
    back = await api("PATCH", path, "installation", json={"sha": main})
    assert back.json()["message"] == "Update is not a fast forward"
    found = await api("GET", f"{REPO}/commits?sha=main&per_page=1")
    assert found.json()[0]["sha"] == made["sha"]
    flow = [{"path": ".github/workflows/x.yml", "mode": "100644", "content": "on: push"}]
    tree = await api(
        "POST", f"{REPO}/git/trees", "installation", json={"base_tree": main, "tree": flow}
    )
    commit = await api(
        "POST",
        f"{REPO}/git/commits",
        "installation",
        json={"message": "Flow", "tree": tree.json()["sha"], "parents": [main]},
    )
    new = {"ref": "refs/heads/flow", "sha": commit.json()["sha"]}
    refused = await api("POST", f"{REPO}/git/refs", "installation", json=new)
    assert refused.status_code == 422 and "workflows" in refused.json()["message"]


async def test_faults_strike_once(world: Any, http: httpx.AsyncClient, api: Any) -> None:
    world.add_issue("acme/widgets", "One", None, "rob")
    path = f"{REPO}/issues/1/comments"
    fault = {"method": "POST", "path": "/comments$", "status": 502, "late": True}
    await http.post("/_admin/faults", json=fault)
    lost = await api("POST", path, json={"body": "said"})
    assert lost.status_code == 502
    assert [it["body"] for it in (await api("GET", path)).json()] == ["said"]
    world.faults.add("GET", "/comments", cut=10)
    with pytest.raises(httpx.RemoteProtocolError):
        await api("GET", path)
    world.faults.add("GET", "/comments", status=429, headers={"Retry-After": "3"})
    limited = await api("GET", path)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert (await api("GET", path)).status_code == 200


async def test_effects_are_logged_with_who_and_with_which_token(
    world: Any, http: httpx.AsyncClient, api: Any
) -> None:
    await api("POST", f"{REPO}/issues", "rob", json={"title": "One"})
    await api("POST", f"{REPO}/issues/1/comments", "installation", json={"body": "hello"})
    log = (await http.get("/_admin/effects")).json()
    assert [(it["actor"], it["verb"], it["target"]) for it in log] == [
        ("rob", "issue.open", "acme/widgets#1"),
        ("cloud-vibecoder[bot]", "comment.create", "acme/widgets#1"),
    ]
    assert len({it["token_id"] for it in log}) == 2
    assert "ghs_" not in str(log) and "ghu_" not in str(log)


VALUES: tuple[Any, ...] = (None, -1, "x\ud800", [None], {"a": 1})


def valid(sha: str, installation: int) -> dict[tuple[str, str, str], dict[str, Any]]:
    """A good body for each writing route whose body matters, by method, path and who asks."""
    tokens = f"/app/installations/{installation}/access_tokens"
    action = {"label": "L", "identifier": "i", "description": "d"}
    note = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice"}
    output = {"title": "t", "summary": "s", "text": "x", "annotations": [note | {"message": "m"}]}
    run = {
        "name": "n", "head_sha": sha, "status": "completed", "conclusion": "success",
        "started_at": "2026-01-01T00:00:00Z", "output": output, "actions": [action],
    }  # fmt: skip
    entry = {"path": "a", "mode": "100644", "type": "blob", "content": "x"}
    person = {"name": "N", "email": "e@example.com", "date": "2026-01-01T00:00:00Z"}
    app = "installation"
    return {
        ("POST", tokens, "app"): {"permissions": {"issues": "read"}, "repositories": ["widgets"]},
        ("PATCH", "/app/hook/config", "app"): {"url": "http://127.0.0.1:9/", "secret": "s"},
        ("POST", f"{REPO}/issues", app): {"title": "t", "body": "b", "labels": ["bug"]},
        ("PATCH", f"{REPO}/issues/1", app): {
            "title": "t", "body": "b", "state": "open", "labels": ["bug"], "assignees": ["rob"],
        },
        ("POST", f"{REPO}/issues/1/comments", app): {"body": "b"},
        ("POST", f"{REPO}/issues/1/labels", app): {"labels": ["bug"]},
        ("POST", f"{REPO}/issues/1/assignees", app): {"assignees": ["rob"]},
        ("POST", f"{REPO}/issues/1/reactions", app): {"content": "eyes"},
        ("POST", f"{REPO}/labels", app): {"name": "l", "color": "ffffff", "description": "d"},
        ("POST", f"{REPO}/pulls", app): {
            "title": "t", "head": "fix", "base": "main", "body": "b", "draft": True, "issue": 1,
        },
        ("POST", f"{REPO}/check-runs", app): run,
        ("POST", f"{REPO}/check-suites", app): {"head_sha": sha},
        ("POST", f"{REPO}/git/refs", app): {"ref": "refs/heads/r", "sha": sha},
        ("PATCH", f"{REPO}/git/refs/heads/fix", app): {"sha": sha, "force": True},
        ("POST", f"{REPO}/git/blobs", app): {"content": "x", "encoding": "utf-8"},
        ("POST", f"{REPO}/git/trees", app): {"base_tree": sha, "tree": [entry]},
        ("POST", f"{REPO}/git/commits", app): {
            "message": "m", "tree": sha, "parents": [sha], "author": person, "committer": person,
        },
        ("PUT", f"{REPO}/contents/new.txt", app): {
            "message": "m", "content": "eA==", "branch": "main", "sha": sha,
        },
    }  # fmt: skip


def spoiled(body: Any) -> Iterator[Any]:
    """The body with one value at a time, however deep, put in another's place."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield from (body | {key: other} for other in (*VALUES, *spoiled(value)))
    elif isinstance(body, list):
        yield from ([other] for one in body for other in (*VALUES, *spoiled(one)))


async def test_no_body_breaks_the_server(world: Any, api: Any) -> None:
    """Every writing route takes or refuses hostile values; never a 5xx."""
    world.add_issue("acme/widgets", "One", None, "maya")
    folder = world.repository("acme/widgets").folder
    sha = bare.resolve(folder, "main") or ""
    bare.set_ref(folder, "refs/heads/fix", sha)
    broken = []
    for (method, path, who), body in valid(sha, world.installation_id).items():
        for other in spoiled(body):
            answer = await api(method, path, who, json=other)
            if answer.status_code >= 500:
                broken.append((method, path, other))
    assert not broken
