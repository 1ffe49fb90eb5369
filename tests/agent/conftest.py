"""The model's and the sandbox's stand-ins on loopback, with the real clients talking to them."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from agent_world import Journal, Watcher

from agent.model import Model, ModelSettings, Purse
from vibecoder.local.model.app import app
from vibecoder.local.model.script import Stage
from vibecoder.local.serve import serve


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def purse() -> Purse:
    return Purse(Decimal(5))


@pytest.fixture
def stage() -> Stage:
    return Stage(keys={"sk-test"})


@pytest.fixture
async def model_url(stage: Stage) -> AsyncIterator[str]:
    async with serve(app(stage)) as url:
        yield url


@pytest.fixture
async def model(model_url: str) -> AsyncIterator[Model]:
    model = Model(ModelSettings("sk-test", model_url), pauses=(0.01,) * 5)
    yield model
    await model.close()
