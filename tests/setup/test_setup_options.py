"""What is refused before anybody goes to GitHub."""

from pathlib import Path

import pytest
from rich.console import Console

from vibecoder import setup
from vibecoder.settings import Settings

GITHUB = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic's own
SCREEN = Console(quiet=True)


async def refused(
    kind: type[setup.SetupError],
    env_file: Path,
    *,
    public_url: str = "https://bot.example.org",
    organization: str | None = None,
    settings: Settings = GITHUB,
) -> str:
    asked = setup.Wanted(public_url, organization, env_file, False)
    with pytest.raises(kind) as caught:
        await setup.run(asked, settings, SCREEN, seconds=0)
    return str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bot.example.org",
        "ftp://bot.example.org",
        "https://",
        "https://bot.example.org/path",
        "https://bot.example.org?a=b",
        "https://maya:secret@bot.example.org",
        "https://bot.example.org:99999",
        "https://[::1",
        "https://bot.example.org\nname: x",
        "https://bot.example.org #",
        "http://bot.example.org",
        "http://localhost:8000",
        "https://127.0.0.1",
        "https://[::1]:8000",
        "http://0.0.0.0:8000",
    ],
)
async def test_addresses_that_github_or_people_cannot_use(tmp_path: Path, address: str) -> None:
    await refused(setup.BadOption, tmp_path / ".env", public_url=address)


@pytest.mark.parametrize(
    ("address", "manifested"),
    [
        ("https://bot.example.org", "https://bot.example.org"),
        (" https://bot.example.org:8443/ ", "https://bot.example.org:8443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]"),
    ],
)
async def test_good_addresses_get_as_far_as_the_page(
    tmp_path: Path, address: str, manifested: str
) -> None:
    await refused(setup.NotFinished, tmp_path / ".env", public_url=address)
    made = setup.manifest(manifested, "http://127.0.0.1:1/done")
    assert made["hook_attributes"]["url"] == f"{manifested}/webhook"


async def test_other_options(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    assert "no organization" in await refused(
        setup.BadOption, env_file, organization="acme/../evil"
    )
    half = Settings(_env_file=None, github_url="https://ghes.example.org")  # type: ignore[call-arg]
    assert "GITHUB_API_URL" in await refused(setup.BadOption, env_file, settings=half)
    await refused(setup.BadOption, tmp_path / "a$b" / ".env")


async def test_files_that_cannot_be_written(tmp_path: Path) -> None:
    assert "Is a directory" in await refused(setup.NotWritten, tmp_path)
    (tmp_path / "file").write_text("")
    assert "Not a directory" in await refused(setup.NotWritten, tmp_path / "file" / ".env")
    assert "No such file" in await refused(setup.NotWritten, tmp_path / "none" / ".env")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "odd").write_text("A=1\nB='open\n")
    assert "line 2" in await refused(setup.NotWritten, tmp_path / "odd")
    assert "UTF-8" in await refused(setup.NotWritten, tmp_path / "binary")


def test_the_manifest_asks_for_the_least_and_fits_githubs_form() -> None:
    made = setup.manifest("https://bot.example.org", "http://127.0.0.1:1/x/done")
    assert len(made["name"]) <= 34
    assert made["redirect_url"] == "http://127.0.0.1:1/x/done"
    assert made["default_permissions"] == {
        "metadata": "read",
        "contents": "write",
        "issues": "write",
        "pull_requests": "write",
        "checks": "write",
    }
    assert made["default_events"] == ["issue_comment"]
    assert "${" not in str(made)


def test_a_manifest_of_ones_own_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "github_app.yml"
    monkeypatch.setattr(setup, "MANIFEST", own)
    for text in ("name: " + "x" * 35, "- a", "name: ${OTHER}", "name: ${", "a: [", ""):
        own.write_text(text)
        with pytest.raises(setup.BadOption, match=r"github_app\.yml"):
            setup.manifest("https://bot.example.org", "http://127.0.0.1:1/done")
    own.unlink()
    with pytest.raises(setup.BadOption, match="No such file"):
        setup.manifest("https://bot.example.org", "http://127.0.0.1:1/done")
