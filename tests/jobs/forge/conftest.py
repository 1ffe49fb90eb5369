"""A served GitHub per test, and our client on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from forge_world import REPOSITORY, forge_of, settings_of

from jobs.forge.github import Forge, GitHub
from vibecoder.local.github.app import app
from vibecoder.local.github.world import World
from vibecoder.local.serve import serve


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "github")
    made.add_repository(REPOSITORY, {"README.md": b"# Widgets\n"})
    async with serve(app(made)) as url:
        made.base_url = url
        yield made


@pytest.fixture
async def github(world: World) -> AsyncIterator[GitHub]:
    async with GitHub(settings_of(world)) as made:
        yield made


@pytest.fixture
async def forge(github: GitHub, world: World) -> Forge:
    return await forge_of(github, world)
