"""Takes the README's pictures from a real run: `make screenshots` (needs chromium and node)."""

import asyncio
import os
import shutil
from pathlib import Path

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
    world = running.here.world
    issue = world.add_issue("demo/itsdangerous", "The same again", "From the phone.", by="maya")
    await run(
        "node",
        str(ROOT / "tests" / "mobile" / "click.mjs"),
        BASE_URL=running.service,
        TOKEN=world.users["maya"],
        REPOSITORY="demo/itsdangerous",
        ISSUE=str(issue.number),
        WISH="fix this",
        SCREENSHOTS=str(IMAGES / "phone"),
    )


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
