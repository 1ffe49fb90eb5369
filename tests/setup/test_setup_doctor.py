"""What `vibecoder doctor` says about signing in."""

from typing import Any

import pytest
from setup_browser import settings_for

from vibecoder.doctor import HERE, LIVE
from vibecoder.local.github.world import World
from vibecoder.settings import SettingsError

look, look_live = HERE["sign-in"], LIVE["sign-in, live"]
ENOUGH: dict[str, Any] = {
    "public_url": "https://Bot.example.org:443/",
    "github_client_secret": "a secret of GitHub's",
}


async def test_it_says_where_people_sign_in_and_what_github_must_know(world: World) -> None:
    said = await look(settings_for(world, **ENOUGH))
    assert "at https://bot.example.org/app/" in said
    assert "callback URL https://bot.example.org/auth/github/callback" in said
    assert "the client secret (SESSION_SECRET unset)" in said
    custom = "exp://192.168.1.5:8081/--/signed-in"
    more = ENOUGH | {"session_secret": "s" * 32, "vibecoder_redirects": f" {custom} "}
    said = await look(settings_for(world, **more))
    assert said.endswith(f"sealed by SESSION_SECRET; also back to {custom}")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"public_url": None}, "PUBLIC_URL is missing"),
        ({"public_url": "https://bot.example.org/path"}, "without a path"),
        ({"public_url": "bot.example.org"}, "PUBLIC_URL must be an address"),
        ({"session_secret": "short"}, "shorter than 32 characters"),
        ({"github_client_secret": None}, "GITHUB_CLIENT_SECRET is missing"),
        ({"vibecoder_redirects": "javascript://x"}, "VIBECODER_REDIRECTS"),
        ({"vibecoder_redirects": "myapp://x?a=b"}, "VIBECODER_REDIRECTS"),
    ],
)
async def test_it_says_how_to_mend_what_is_wrong(
    world: World, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        await look(settings_for(world, **(ENOUGH | wrong)))
    assert "a secret of GitHub's" not in str(caught.value)


async def test_github_is_asked_whether_it_takes_the_client_secret(world: World) -> None:
    right = {"github_client_id": world.client_id, "github_client_secret": world.client_secret}
    assert "GitHub takes client id and secret" in await look_live(settings_for(world, **right))
    with pytest.raises(SettingsError, match="own client id and secret"):
        await look_live(settings_for(world, **(right | {"github_client_secret": "wrong"})))
