"""Webhooks: who hears what, signatures, the log, redelivery, faults."""

import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
from githubkit.webhooks import parse

REPO = "/repos/acme/widgets"


@pytest.fixture
def events(world: Any, receiver: Any) -> Any:
    """Settles the deliveries and gives (event, action, payload) of each."""
    world.hook_url = receiver.url

    async def settled() -> list[tuple[str, str | None, dict[str, Any]]]:
        await world.courier.settled()
        out = []
        for headers, body in receiver.got:
            payload = json.loads(body)
            out.append((headers["x-github-event"], payload.get("action"), payload))
        return out

    return settled


async def test_comments_are_told_signed_and_with_whole_objects(
    world: Any, receiver: Any, api: Any, events: Any
) -> None:
    world.add_issue("acme/widgets", "One", "Body", "rob")
    made = await api("POST", f"{REPO}/issues/1/comments", "maya", json={"body": "/vibecode go"})
    comment = made.json()
    await api("PATCH", f"{REPO}/issues/comments/{comment['id']}", "maya", json={"body": "no"})
    await api("DELETE", f"{REPO}/issues/comments/{comment['id']}", "maya")
    got = await events()
    assert [(event, action) for event, action, _ in got] == [
        ("issues", "opened"),
        ("issue_comment", "created"),
        ("issue_comment", "edited"),
        ("issue_comment", "deleted"),
    ]
    payload = got[1][2]
    assert payload["comment"]["body"] == "/vibecode go"
    assert payload["comment"]["performed_via_github_app"] is None
    assert payload["issue"]["user"]["login"] == "rob"
    assert payload["sender"]["login"] == "maya"
    assert payload["repository"]["full_name"] == "acme/widgets"
    assert payload["installation"]["id"] == world.installation_id
    assert got[2][2]["changes"]["body"]["from"] == "/vibecode go"
    headers, body = receiver.got[1]
    secret = world.webhook_secret.encode()
    assert headers["x-hub-signature-256"] == (
        "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    )
    assert headers["x-hub-signature"] == "sha1=" + hmac.new(secret, body, "sha1").hexdigest()
    assert headers["user-agent"].startswith("GitHub-Hookshot/")
    assert headers["x-github-hook-installation-target-id"] == str(world.app_id)
    assert len(headers["x-github-delivery"]) == 36


async def test_the_apps_own_comments_come_back_marked(world: Any, api: Any, events: Any) -> None:
    world.add_issue("acme/widgets", "One", None, "rob")
    await api("POST", f"{REPO}/issues/1/comments", "installation", json={"body": "Mine."})
    payload = (await events())[-1][2]
    assert payload["sender"]["login"] == "cloud-vibecoder[bot]"
    assert payload["sender"]["type"] == "Bot"
    assert payload["comment"]["performed_via_github_app"]["id"] == world.app_id


async def test_a_push_updates_the_pull_request_and_asks_for_checks(
    world: Any, http: httpx.AsyncClient, api: Any, events: Any
) -> None:
    async def push(text: str) -> str:
        answer = await http.post(
            "/_admin/repositories/acme/widgets/commits",
            json={"branch": "fix", "files": {"a.txt": text}, "by": "maya"},
        )
        return str(answer.json()["sha"])

    first = await push("1")
    await api("POST", f"{REPO}/pulls", json={"title": "A", "head": "fix", "base": "main"})
    second = await push("2")
    got = await events()
    names = [(event, action) for event, action, _ in got]
    assert names == [
        ("check_suite", "requested"),
        ("pull_request", "opened"),
        ("pull_request", "synchronize"),
        ("check_suite", "requested"),
    ]
    assert got[0][2]["check_suite"]["head_sha"] == first
    assert got[2][2]["before"] == first and got[2][2]["after"] == second
    assert got[3][2]["check_suite"]["pull_requests"][0]["number"] == 1


async def test_only_subscribed_events_are_sent(world: Any, api: Any, events: Any) -> None:
    world.app.events = ("push",)
    await api("POST", f"{REPO}/issues", json={"title": "One"})
    main = (await api("GET", f"{REPO}/git/ref/heads/main")).json()["object"]["sha"]
    await api("POST", f"{REPO}/git/refs", json={"ref": "refs/heads/b", "sha": main})
    got = await events()
    assert [event for event, _, _ in got] == ["push", "check_suite"]
    assert got[0][2]["ref"] == "refs/heads/b" and got[0][2]["created"] is True


async def test_failures_are_logged_and_redelivered_under_the_same_guid(
    world: Any, receiver: Any, api: Any, events: Any
) -> None:
    receiver.status = 503
    await api("POST", f"{REPO}/issues", json={"title": "One"})
    await events()
    (item,) = (await api("GET", "/app/hook/deliveries", "app")).json()
    assert item["status"] == "Invalid HTTP Response: 503" and item["status_code"] == 503
    receiver.status = 200
    path = f"/app/hook/deliveries/{item['id']}/attempts"
    assert (await api("POST", path, "app")).status_code == 202
    await events()
    again, first = (await api("GET", "/app/hook/deliveries", "app")).json()
    assert again["guid"] == first["guid"] == item["guid"]
    assert again["redelivery"] is True and again["status"] == "OK"
    whole = (await api("GET", f"/app/hook/deliveries/{again['id']}", "app")).json()
    assert whole["request"]["payload"]["action"] == "opened"
    assert whole["request"]["headers"]["X-GitHub-Delivery"] == item["guid"]
    assert [json.loads(body)["action"] for _, body in receiver.got] == ["opened", "opened"]


async def test_deliveries_are_paged_by_cursor(world: Any, api: Any, events: Any) -> None:
    for number in range(5):
        world.add_issue("acme/widgets", f"Issue {number}", None, "rob")
    await events()
    seen, path = [], "/app/hook/deliveries?per_page=2"
    while path:
        answer = await api("GET", path, "app")
        seen += [it["id"] for it in answer.json()]
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert len(seen) == 5 and seen == sorted(seen, reverse=True)


async def test_the_app_sets_its_hook_and_hears_a_ping(world: Any, receiver: Any, api: Any) -> None:
    answer = await api(
        "PATCH", "/app/hook/config", "app", json={"url": receiver.url, "secret": "new"}
    )
    assert answer.json()["url"] == receiver.url and answer.json()["secret"] == "********"
    await world.courier.settled()
    headers, body = receiver.got[0]
    assert headers["x-github-event"] == "ping"
    assert headers["x-hub-signature-256"] == (
        "sha256=" + hmac.new(b"new", body, hashlib.sha256).hexdigest()
    )


async def test_deliveries_can_be_dropped_and_doubled(
    world: Any, receiver: Any, events: Any
) -> None:
    world.faults.add("HOOK", "issues", drop=True)
    world.faults.add("HOOK", "issues", duplicate=True)
    world.add_issue("acme/widgets", "Lost", None, "rob")
    world.add_issue("acme/widgets", "Twice", None, "rob")
    got = await events()
    assert [payload["issue"]["title"] for _, _, payload in got] == ["Twice", "Twice"]
    assert len({headers["x-github-delivery"] for headers, _ in receiver.got}) == 1


async def test_suspension_is_told_and_then_nothing(world: Any, events: Any) -> None:
    world.suspend()
    world.add_issue("acme/widgets", "Unheard", None, "rob")
    world.suspend(False)
    got = await events()
    assert [(event, action) for event, action, _ in got] == [
        ("installation", "suspend"),
        ("installation", "unsuspend"),
    ]


async def test_buttons_press_only_on_completed_runs(
    world: Any, http: httpx.AsyncClient, api: Any, events: Any
) -> None:
    head = (await api("GET", f"{REPO}/git/ref/heads/main")).json()["object"]["sha"]
    action = {"label": "Stop", "identifier": "stop", "description": "Stop it"}
    made = await api(
        "POST",
        f"{REPO}/check-runs",
        "installation",
        json={"name": "vibecode", "head_sha": head, "status": "in_progress", "actions": [action]},
    )
    run = made.json()["id"]
    path = f"/_admin/check-runs/{run}/click"
    press = {"identifier": "stop", "by": "maya"}
    assert (await http.post(path, json=press)).status_code == 422
    done = {"conclusion": "neutral", "actions": [action]}
    await api("PATCH", f"{REPO}/check-runs/{run}", "installation", json=done)
    assert (await http.post(path, json=press | {"identifier": "no"})).status_code == 422
    assert (await http.post(path, json=press | {"by": "sam"})).status_code == 403
    assert (await http.post(path, json=press)).status_code == 204
    await api("POST", f"{REPO}/check-runs/{run}/rerequest", "installation")
    got = [(e, a, p) for e, a, p in await events() if e == "check_run"]
    assert [a for _, a, _ in got] == ["created", "completed", "requested_action", "rerequested"]
    assert got[2][2]["requested_action"] == {"identifier": "stop"}
    assert got[2][2]["sender"]["login"] == "maya"


async def test_payloads_satisfy_a_strict_parser(
    world: Any, http: httpx.AsyncClient, api: Any, events: Any
) -> None:
    world.app.events += ("push", "create", "delete")
    admin = "/_admin/repositories/acme/widgets"
    change = {"branch": "fix", "files": {"a.txt": "1"}}
    await http.post(f"{admin}/commits", json=change)
    await api("POST", f"{REPO}/issues", json={"title": "One", "labels": ["bug"]})
    await api("POST", f"{REPO}/issues/1/assignees", json={"assignees": ["rob"]})
    await api("PUT", f"{REPO}/issues/1/lock", json={"lock_reason": "spam"})
    said = await api("POST", f"{REPO}/issues/1/comments", "installation", json={"body": "hi"})
    comment = f"{REPO}/issues/comments/{said.json()['id']}"
    await api("PATCH", comment, "installation", json={"body": "ho"})
    await api("DELETE", comment, "installation")
    pull = {"title": "Fix", "head": "fix", "base": "main", "draft": True, "body": "Closes #1"}
    made = (await api("POST", f"{REPO}/pulls", "installation", json=pull)).json()
    await http.post(f"{admin}/commits", json=change | {"files": {"a.txt": "2"}})
    sha = world.repository("acme/widgets").issues[2].pull.head_sha
    line = {"body": "why?", "path": "a.txt", "commit_id": sha, "line": 1}
    await api("POST", f"{REPO}/pulls/2/comments", json=line)
    run = {"name": "vibecode", "head_sha": sha, "conclusion": "success"}
    run |= {"actions": [{"label": "L", "identifier": "i", "description": "d"}]}
    check = (await api("POST", f"{REPO}/check-runs", "installation", json=run)).json()
    await http.post(f"/_admin/check-runs/{check['id']}/click", json={"identifier": "i"})
    await api("PATCH", f"{REPO}/pulls/{made['number']}", json={"title": "Better"})
    await http.post(f"{admin}/pulls/2/ready", json={})
    await http.post(f"{admin}/pulls/2/merge", json={})
    await api("DELETE", f"{REPO}/git/refs/heads/fix")
    world.suspend()
    world.suspend(False)
    world.add_repository("acme/second", {})
    got = await events()
    assert len({(event, action) for event, action, _ in got}) > 20
    for event, _, payload in got:
        parse(event, json.dumps(payload))
