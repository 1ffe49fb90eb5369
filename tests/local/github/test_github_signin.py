"""Signing in, looking after user tokens, registering an App from a manifest."""

import base64
import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from vibecoder.local.github import signin

VERIFIER = "v" * 64
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
BACK = "http://127.0.0.1:9/callback"


async def code_for(world: Any, http: httpx.AsyncClient, login: str) -> str:
    answer = await http.get(
        "/login/oauth/authorize",
        params={
            "client_id": world.client_id,
            "redirect_uri": BACK,
            "state": "s1",
            "login": login,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        },
    )
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == ["s1"]
    return query["code"][0]


async def exchange(world: Any, http: httpx.AsyncClient, **fields: str) -> dict[str, Any]:
    secrets = {"client_id": world.client_id, "client_secret": world.client_secret}
    answer = await http.post(
        "/login/oauth/access_token", data=secrets | fields, headers={"Accept": "application/json"}
    )
    body: dict[str, Any] = answer.json()
    return body


async def test_sign_in_refresh_and_revoke(world: Any, http: httpx.AsyncClient, api: Any) -> None:
    code = await code_for(world, http, "rob")
    wrong = await exchange(world, http, code=code, code_verifier="wrong")
    assert wrong["error"] == "bad_verification_code"
    code = await code_for(world, http, "rob")
    pair = await exchange(world, http, code=code, code_verifier=VERIFIER)
    assert pair["access_token"].startswith("ghu_") and pair["refresh_token"].startswith("ghr_")
    assert (pair["expires_in"], pair["token_type"]) == (28800, "bearer")
    spent = await exchange(world, http, code=code, code_verifier=VERIFIER)
    assert spent["error"] == "bad_verification_code"
    assert (await api("GET", "/user", pair["access_token"])).json()["login"] == "rob"
    assert (await api("GET", "/user", pair["refresh_token"])).status_code == 401

    renewed = await exchange(
        world, http, grant_type="refresh_token", refresh_token=pair["refresh_token"]
    )
    assert (await api("GET", "/user", pair["access_token"])).status_code == 401
    again = await exchange(
        world, http, grant_type="refresh_token", refresh_token=pair["refresh_token"]
    )
    assert again["error"] == "bad_refresh_token"

    client = (world.client_id, world.client_secret)
    path = f"/applications/{world.client_id}/token"
    body = {"access_token": renewed["access_token"]}
    checked = await http.post(path, json=body, auth=client)
    assert checked.json()["user"]["login"] == "rob"
    assert checked.json()["app"]["client_id"] == world.client_id
    stranger = await http.post(path, json={"access_token": "ghu_no"}, auth=client)
    assert stranger.status_code == 404
    impostor = await http.post(path, json=body, auth=(world.client_id, "no"))
    assert impostor.status_code == 401
    gone = await http.request("DELETE", path, json=body, auth=client)
    assert gone.status_code == 204
    assert (await http.post(path, json=body, auth=client)).status_code == 404


async def test_the_browser_is_asked_who_signs_in(world: Any, http: httpx.AsyncClient) -> None:
    params = {"client_id": world.client_id, "redirect_uri": BACK, "state": "s"}
    page = await http.get("/login/oauth/authorize", params=params)
    assert page.status_code == 200 and "Who are you?" in page.text
    answer = await http.post("/login/oauth/authorize", data=params | {"login": "maya"})
    assert answer.headers["location"].startswith(BACK + "?code=")
    plain = await http.get(
        "/login/oauth/authorize",
        params=params | {"code_challenge": "x", "code_challenge_method": "plain"},
    )
    assert "error=invalid_request" in plain.headers["location"]
    short = await http.get(
        "/login/oauth/authorize",
        params=params | {"code_challenge": "x", "code_challenge_method": "S256"},
    )
    assert "error=invalid_request" in short.headers["location"]
    no = await http.post("/login/oauth/authorize", data=params | {"cancel": "1"})
    query = parse_qs(urlsplit(no.headers["location"]).query)
    assert (query["error"], query["state"]) == (["access_denied"], ["s"])


async def test_people_are_only_sent_to_a_callback_url(world: Any, http: httpx.AsyncClient) -> None:
    params = {"client_id": world.client_id, "state": "s", "login": "maya"}
    elsewhere = {"redirect_uri": "https://evil.example/callback"}
    refused = await http.get("/login/oauth/authorize", params=params | elsewhere)
    assert refused.status_code == 422 and "redirect_uri" in refused.text

    world.callback_urls = (BACK, "https://bot.example/callback")
    for sent in (elsewhere, {"redirect_uri": f"{BACK}/more"}, {"redirect_uri": f"{BACK}?a=b"}):
        answer = await http.get("/login/oauth/authorize", params=params | sent)
        target = answer.headers["location"]
        assert target.startswith(f"{BACK}?")
        assert parse_qs(urlsplit(target).query)["error"] == ["redirect_uri_mismatch"]
    for sent in ({}, {"redirect_uri": world.callback_urls[1]}):
        answer = await http.get("/login/oauth/authorize", params=params | sent)
        assert answer.headers["location"].startswith(sent.get("redirect_uri", BACK) + "?code=")


async def test_a_code_lives_ten_minutes_and_belongs_to_its_address(
    world: Any, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = await code_for(world, http, "rob")
    wrong = await exchange(
        world, http, code=code, code_verifier=VERIFIER, redirect_uri=f"{BACK}/more"
    )
    assert wrong["error"] == "redirect_uri_mismatch"
    code = await code_for(world, http, "rob")
    later = signin.now() + timedelta(minutes=10, seconds=1)
    monkeypatch.setattr(signin, "now", lambda: later)
    late = await exchange(world, http, code=code, code_verifier=VERIFIER)
    assert late["error"] == "bad_verification_code"


async def test_taking_an_app_back_ends_its_tokens(
    world: Any, http: httpx.AsyncClient, api: Any, receiver: Any
) -> None:
    world.hook_url = receiver.url
    pairs = [
        await exchange(world, http, code=await code_for(world, http, who), code_verifier=VERIFIER)
        for who in ("rob", "rob", "maya")
    ]
    gone = await http.delete("/_admin/users/rob/authorization")
    assert gone.is_success
    statuses = [(await api("GET", "/user", pair["access_token"])).status_code for pair in pairs]
    assert statuses == [401, 401, 200]
    again = await exchange(
        world, http, grant_type="refresh_token", refresh_token=pairs[0]["refresh_token"]
    )
    assert again["error"] == "bad_refresh_token"
    await world.courier.settled()
    headers, body = receiver.got[0]
    assert headers["x-github-event"] == "github_app_authorization"
    assert json.loads(body)["sender"]["login"] == "rob"


async def test_a_user_sees_installations_with_their_permissions(world: Any, api: Any) -> None:
    world.add_repository("acme/private", {"a": b"a"}, private=True)
    found = (await api("GET", "/user/installations", "rob")).json()
    assert [it["id"] for it in found["installations"]] == [world.installation_id]
    path = f"/user/installations/{world.installation_id}/repositories"
    for login, push in (("maya", True), ("rob", False)):
        shown = (await api("GET", path, login)).json()["repositories"]
        assert [it["permissions"]["push"] for it in shown] == [push, push]
    assert (await api("GET", "/user/installations", "sam")).json()["total_count"] == 0
    assert (await api("GET", path, "sam")).status_code == 404


async def test_what_a_signed_in_user_writes_is_marked_with_the_app(
    world: Any, http: httpx.AsyncClient, api: Any
) -> None:
    world.add_issue("acme/widgets", "One", None, "rob")
    pair = await exchange(
        world, http, code=await code_for(world, http, "maya"), code_verifier=VERIFIER
    )
    path = "/repos/acme/widgets/issues/1/comments"
    through = (await api("POST", path, pair["access_token"], json={"body": "a"})).json()
    assert through["performed_via_github_app"]["id"] == world.app_id
    assert through["user"]["login"] == "maya"
    browser = (await api("POST", path, "maya", json={"body": "b"})).json()
    assert browser["performed_via_github_app"] is None


async def test_an_app_is_registered_from_a_manifest(world: Any, http: httpx.AsyncClient) -> None:
    manifest = {
        "name": "My Coder",
        "url": "https://example.com",
        "hook_attributes": {"url": "http://127.0.0.1:9/webhook"},
        "redirect_url": "http://127.0.0.1:9/setup/done?a=b",
        "default_permissions": {"issues": "write"},
        "default_events": ["issues"],
    }
    form = {"manifest": json.dumps(manifest)}
    page = await http.post("/settings/apps/new?state=xyz", data=form)
    assert "issues: write" in page.text
    answer = await http.post("/settings/apps/new?state=xyz", data=form | {"approve": "1"})
    target = answer.headers["location"]
    query = parse_qs(urlsplit(target).query)
    assert target.startswith("http://127.0.0.1:9/setup/done") and query["a"] == ["b"]
    assert query["state"] == ["xyz"]
    path = f"/app-manifests/{query['code'][0]}/conversions"
    made = await http.post(path)
    app = made.json()
    assert made.status_code == 201 and app["slug"] == "my-coder"
    assert app["pem"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert app["client_secret"] and app["webhook_secret"]
    assert (await http.post(path)).status_code == 404
    installed = await http.post("/apps/my-coder/installations/new", data={"account": "acme"})
    assert installed.status_code == 303
