"""A served GitHub per test, a receiver for its webhooks, and an empty environment."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from setup_browser import Door
from starlette.applications import Starlette
from starlette.routing import Route

from vibecoder.local.github.app import app
from vibecoder.local.github.world import World
from vibecoder.local.serve import serve
from vibecoder.settings import Settings


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings come from what the test writes alone."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def key() -> str:
    """For the App that each world begins with; making one takes a while."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
async def world(tmp_path: Path, key: str) -> AsyncIterator[World]:
    made = World(tmp_path / "github", private_key=key)
    async with serve(app(made)) as url:
        made.base_url = url
        yield made


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """Where the new App's webhooks go."""
    made = Door()
    async with serve(Starlette(routes=[Route("/webhook", made.take, methods=["POST"])])) as url:
        made.url = url
        yield made
