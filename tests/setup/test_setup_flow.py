"""Registering an App from first to last, against the loopback GitHub."""

import asyncio
import hashlib
import hmac
import os
import stat
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from setup_browser import Door, begun, settings_for, wanted

from jobs.forge.github import GitHub
from vibecoder import setup
from vibecoder.compose.worker import app_settings
from vibecoder.local.github.world import World
from vibecoder.settings import Settings


def loaded(env_file: Path) -> Settings:
    return Settings(_env_file=env_file)  # type: ignore[call-arg]  # pydantic's own


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def list_keys(folder: Path) -> list[Path]:
    return list(folder.glob("*.pem"))


async def test_the_written_file_signs_in_as_the_new_app(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        page = await running.http.get(back)
        registered = await running.task
    assert page.status_code == 200
    assert f"{world.base_url}/apps/our-coder/installations/new" in page.text

    settings = loaded(env_file)
    async with GitHub(app_settings(settings)) as github:
        app = await github.registered()
    assert app.slug == "our-coder"
    assert app.permissions["contents"] == "write"
    assert settings.public_url == door.url
    made = world.apps[settings.app_id()]
    assert made.owner.login == "maya"
    assert made.client_id == settings.github_client_id
    assert settings.github_client_secret is not None
    assert made.client_secret == settings.github_client_secret.get_secret_value()
    assert settings.private_key().strip() == made.private_key.strip()
    assert settings.session_secret is not None
    assert len(settings.session_key()) == 64
    assert made.events == ("issue_comment",)
    assert made.callback_urls == (f"{door.url}/auth/github/callback",)

    # The webhook that GitHub sends at once is signed with the secret that was written.
    await door.came.wait()
    headers, body = door.got[0]
    (secret,) = settings.webhook_secrets()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    assert headers["x-hub-signature-256"] == f"sha256={digest}"

    assert registered.key_file.parent == tmp_path
    assert mode(env_file) == mode(registered.key_file) == 0o600


async def test_an_organization_owns_what_was_registered_for_it(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    asked = wanted(door, env_file, organization="acme")
    async with begun(asked, settings_for(world)) as running:
        await running.http.get(await running.confirmed("Acme Coder"))
        registered = await running.task
    assert world.apps[loaded(env_file).app_id()].owner.login == "acme"
    assert (
        registered.settings_url == f"{world.base_url}/organizations/acme/settings/apps/acme-coder"
    )


async def test_the_terminal_tells_what_remains_and_no_secret(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        pages = [
            (await running.http.get(running.address)).text,
            (await running.http.get(back)).text,
        ]
        await running.task
        said = running.terminal.getvalue()
    assert f"{world.base_url}/apps/our-coder/installations/new" in said
    assert "ANTHROPIC_API_KEY" in said
    assert "E2B_API_KEY" in said
    made = world.apps[loaded(env_file).app_id()]
    middle = made.private_key.splitlines()[5]
    for shown in (said, *pages):
        for secret in (made.client_secret, made.webhook_secret, middle):
            assert secret not in shown


async def test_other_lines_are_kept_and_empty_ones_filled(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        "# mine\nANTHROPIC_API_KEY=sk-1 # the model's\n\nGITHUB_APP_ID=\nexport GITHUB_CLIENT_ID=\n"
        "VIBECODER_SANDBOX=local\nNOTE='two\nlines'"
    )
    env_file.chmod(0o644)
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        await running.http.get(await running.confirmed("Our Coder"))
        await running.task
        said = running.terminal.getvalue()
    made = world.apps[loaded(env_file).app_id()]
    lines = env_file.read_text().splitlines()
    assert lines[:8] == [
        "# mine",
        "ANTHROPIC_API_KEY=sk-1 # the model's",
        "",
        f"GITHUB_APP_ID={made.id}",
        f"export GITHUB_CLIENT_ID={made.client_id}",
        "VIBECODER_SANDBOX=local",
        "NOTE='two",
        "lines'",
    ]
    assert mode(env_file) == 0o600
    assert "ANTHROPIC_API_KEY" not in said


async def test_a_link_is_followed_and_stays_one(world: World, door: Door, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real env").write_text("PORT=9000\n")
    link = tmp_path / ".env"
    link.symlink_to("etc/real env")
    async with begun(wanted(door, link), settings_for(world)) as running:
        await running.http.get(await running.confirmed("Our Coder"))
        registered = await running.task
    assert link.is_symlink()
    assert registered.key_file.parent == tmp_path / "etc"
    settings = loaded(link)
    assert settings.port == 9000
    assert settings.private_key().strip() == world.apps[settings.app_id()].private_key.strip()


async def test_an_app_that_is_there_is_not_overwritten(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    text = "GITHUB_APP_ID=1\ngithub_webhook_secret=old-old-old-old-old\n"
    env_file.write_text(text)
    with pytest.raises(setup.AppPresent, match="GITHUB_APP_ID, GITHUB_WEBHOOK_SECRET"):
        async with begun(wanted(door, env_file), settings_for(world)):
            pass
    assert env_file.read_text() == text


async def test_replace_leaves_nothing_of_the_old_app(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        "github_app_id=1\nSESSION_SECRET=kept-kept-kept-kept-kept-kept-kept\nGITHUB_PRIVATE_KEY='-----BEGIN\nold\n-----END'\nPORT=9000\n"
        "GITHUB_APP_ID=2\n"
    )
    asked = wanted(door, env_file, replace=True)
    async with begun(asked, settings_for(world)) as running:
        await running.http.get(await running.confirmed("Our Coder"))
        await running.task
    settings = loaded(env_file)
    made = world.apps[settings.app_id()]
    assert made.slug == "our-coder"
    assert settings.private_key().strip() == made.private_key.strip()
    assert settings.port == 9000
    assert settings.session_key() == "kept-kept-kept-kept-kept-kept-kept"  # nobody is signed out
    assert "old" not in env_file.read_text()


async def test_an_app_that_comes_while_we_wait_is_not_overwritten(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        env_file.write_text("GITHUB_APP_ID=1\n")
        page = await running.http.get(back)
        with pytest.raises(setup.NotWritten, match="settings/apps/our-coder/advanced"):
            await running.task
    assert page.status_code == 500
    assert "another App" in page.text
    assert env_file.read_text() == "GITHUB_APP_ID=1\n"
    assert list_keys(tmp_path) == []


async def test_a_code_counts_once_however_often_the_browser_comes(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        # Somebody else spends the code first: GitHub does not know it any more.
        code = parse_qs(urlsplit(back).query)["code"][0]
        spent = await running.http.post(f"{world.base_url}/app-manifests/{code}/conversions")
        assert spent.status_code == 201
        page = await running.http.get(back)
        assert page.status_code == 502
        assert "works once" in page.text
        assert not running.task.done() and not env_file.exists()
        # A second registration, on the same page, goes through.
        page = await running.http.get(await running.confirmed("Another Coder"))
        assert page.status_code == 200
        await running.task
    assert world.apps[loaded(env_file).app_id()].slug == "another-coder"


async def test_a_reload_shows_the_same_end(world: World, door: Door, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        pages = await asyncio.gather(*(running.http.get(back) for _ in range(3)))
        await running.task
    assert {page.status_code for page in pages} == {200}
    assert len({page.text for page in pages}) == 1


async def test_another_state_does_nothing(world: World, door: Door, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        done, _, query = back.partition("?")
        code = parse_qs(query)["code"][0]
        for state in ("", "wrong", "ü"):
            page = await running.http.get(done, params={"code": code, "state": state})
            assert page.status_code == 403
        assert code in world.codes  # still good for whoever it belongs to
        assert not env_file.exists()
        assert (await running.http.get(back)).status_code == 200
        await running.task
    assert env_file.exists()


async def test_a_code_that_is_none_is_not_sent_on(world: World, door: Door, tmp_path: Path) -> None:
    async with begun(wanted(door, tmp_path / ".env"), settings_for(world)) as running:
        form = await running.form()
        state = parse_qs(urlsplit(form.action).query)["state"][0]
        for code in ("", "../../app", "a b", "x" * 300):
            page = await running.http.get(
                f"{running.address}done", params={"code": code, "state": state}
            )
            assert page.status_code == 400
        assert not running.task.done()


async def test_the_page_is_only_for_whoever_knows_its_path_and_calls_it_by_its_name(
    world: World, door: Door, tmp_path: Path
) -> None:
    async with begun(wanted(door, tmp_path / ".env"), settings_for(world)) as running:
        origin = running.address.rpartition("/")[0].rpartition("/")[0]
        assert (await running.http.get(f"{origin}/")).status_code == 404
        assert (await running.http.get(f"{origin}/guessed/")).status_code == 404
        rebound = await running.http.get(running.address, headers={"Host": "evil.example"})
        assert rebound.status_code == 400
        page = await running.http.get(running.address)
        assert page.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


async def test_time_runs_out(world: World, door: Door, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world), seconds=0.1) as running:
        with pytest.raises(setup.NotFinished, match="within the hour"):
            await running.task
    assert not env_file.exists()


async def test_github_has_bad_moments(world: World, door: Door, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    faults: tuple[tuple[dict[str, Any], str], ...] = (
        ({"status": 503}, "answered 503"),
        ({"status": 302, "headers": {"Location": door.url}}, "answered 302"),
        ({"status": 201, "body": '{"id": 1, "client_secret": "leaked"}'}, "not known here"),
        ({"status": 201, "body": "<html>"}, "not known here"),
    )
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        for fault, words in faults:
            world.faults.add("POST", "/app-manifests/", **fault)
            page = await running.http.get(back)
            assert page.status_code == 502
            assert words in page.text
            assert "leaked" not in page.text
        assert not env_file.exists() and not running.task.done()
        assert (await running.http.get(back)).status_code == 200
        await running.task
    assert loaded(env_file).app_id() in world.apps


async def test_an_answer_that_is_lost_on_the_way_is_told(
    world: World, door: Door, tmp_path: Path
) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        world.faults.add("POST", "/app-manifests/", cut=20)
        assert "did not answer" in (await running.http.get(back)).text
        again = await running.http.get(back)
        assert "works once" in again.text and "delete it on GitHub" in again.text
        assert not env_file.exists() and not running.task.done()


async def test_a_folder_that_vanishes_costs_the_app_and_says_so(
    world: World, door: Door, tmp_path: Path
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    async with begun(wanted(door, folder / ".env"), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        folder.rmdir()
        page = await running.http.get(back)
        with pytest.raises(setup.NotWritten, match=r"Delete it at .*/our-coder/advanced"):
            await running.task
    assert page.status_code == 500
    assert "No such file or directory" in page.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_root_leaves_the_files_to_the_folders_owner(
    world: World, door: Door, tmp_path: Path
) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    os.chown(folder, 4711, 4711)
    async with begun(wanted(door, folder / ".env"), settings_for(world)) as running:
        await running.http.get(await running.confirmed("Our Coder"))
        registered = await running.task
    assert (folder / ".env").stat().st_uid == registered.key_file.stat().st_uid == 4711


async def test_no_webhook_secret_is_said(world: World, door: Door, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    async with begun(wanted(door, env_file), settings_for(world)) as running:
        back = await running.confirmed("Our Coder")
        made = next(app for app in world.apps.values() if app.slug == "our-coder")
        made.webhook_secret = None  # type: ignore[assignment]  # GitHub documents null
        await running.http.get(back)
        await running.task
        assert "GitHub made no webhook secret" in running.terminal.getvalue()
    assert loaded(env_file).github_webhook_secret is None


async def test_an_environment_that_wins_over_the_file_is_said(
    world: World, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_PRIVATE_KEY_PATH", "/elsewhere.pem")
    async with begun(wanted(door, tmp_path / "other"), settings_for(world)) as running:
        await running.http.get(await running.confirmed("Our Coder"))
        await running.task
        said = running.terminal.getvalue()
    assert "wins over the file" in said
    assert "The service reads .env in its working directory" in said
