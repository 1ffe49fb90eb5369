"""Takes the README's pictures from a real run: `make screenshots` (needs chromium and node)."""

import asyncio
import os
import shutil
from pathlib import Path

from phone import Phone, browser  # tests/e2e, which `make screenshots` puts on the path
from rich.console import Console

from vibecoder import demo, settings
from vibecoder.demo import Running, Wanted

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"


async def take(running: Running) -> None:
    """The pull request, the issue, and the phone's screens."""
    result = running.result
    for name, url, height in (
        ("pull", result.pull_request_url, 2300),
        ("issue", result.issue_url, 1400),
    ):
        await run(
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size=1280,{height}",
            f"--screenshot={IMAGES / name}.png",
            url,
        )
    issue = running.here.world.add_issue(
        "demo/itsdangerous", "The same again", "From the phone.", by="maya"
    )
    async with browser(running.service) as chromium:
        light, dark = chromium.phone("light", "light"), chromium.phone("dark", "dark")
        await wish(light, issue.number)
        await dark.open()
        await dark.sign_in()
        await follow(light, dark)


async def wish(phone: Phone, issue: int) -> None:
    """Signs in and asks for a plan."""
    await phone.open()
    await phone.see("Sign in with GitHub", "button")
    await phone.sign_in()
    await phone.press("Repository: Choose …")
    await phone.press("demo/itsdangerous")
    await phone.press("Issue: None")
    await phone.press(f"#{issue} The same again")
    await phone.see(f"Issue: #{issue} The same again", "button")
    await phone.gone("Choose an issue", "dialog")
    await phone.write("Your wish", "fix this")
    await phone.picture(IMAGES / "phone" / "light-wish.png")
    await phone.press("Make a plan")


async def follow(light: Phone, dark: Phone) -> None:
    """Accepts the plan on the one phone, and watches on both."""
    await light.see("Accept Plan", "button")
    await light.picture(IMAGES / "phone" / "light-plan.png")
    await light.press("Accept Plan")
    await light.see("Open pull request", "link")
    job = await light.address()
    await dark.open(job)
    await light.see("Done: pull request")
    await light.picture(IMAGES / "phone" / "light-pull-request.png")
    await dark.press("Changes", "tab", exact=False)
    await dark.see("Wrap long lines", "button")
    await dark.picture(IMAGES / "phone" / "dark-changes.png")
    await dark.press("Log", "tab")
    await dark.picture(IMAGES / "phone" / "dark-log.png")
    await dark.open("/app/jobs")
    await dark.see("Done")
    await dark.picture(IMAGES / "phone" / "dark-jobs.png")


async def run(*command: str, **environment: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complained = await process.communicate()
    if process.returncode:
        raise SystemExit(f"{command[0]} failed:\n{complained.decode()}")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    screen = Console(record=True, width=110, highlight=False)
    wanted = Wanted(None, None, None, None)
    asyncio.run(demo.run(wanted, settings.load(), screen, then=take))
    screen.save_svg(str(IMAGES / "demo.svg"), title="make demo")


if __name__ == "__main__":
    main()
