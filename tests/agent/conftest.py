"""The model's and the sandbox's stand-ins on loopback, with the real clients talking to them."""

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio
from agent_world import Journal, Theatre, Watcher
from hypothesis import settings

from agent.model import Model, ModelSettings, Purse
from agent.sandbox import Sandbox, Sandboxes, SandboxSettings
from vibecoder.local.model.app import app as model_app
from vibecoder.local.model.script import Stage
from vibecoder.local.sandbox.app import app as sandbox_app
from vibecoder.local.sandbox.probe import Isolation, probe
from vibecoder.local.sandbox.toolchain import prepare
from vibecoder.local.serve import serve

# One event loop and one sandbox server for each module: starting a server takes longer than most
# of the tests.
settings.register_profile("unhurried", deadline=None)  # the machine may be busy
settings.load_profile("unhurried")
E2B_KEY = "e2b_" + "7" * 40


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="module"), append=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theatre() -> AsyncIterator[Theatre]:
    theatre = Theatre()
    theatre.app = model_app(Stage())
    async with serve(theatre) as theatre.url:
        yield theatre


@pytest.fixture
def model_url(theatre: Theatre, stage: Stage) -> str:
    theatre.app = model_app(stage)
    return theatre.url


@pytest_asyncio.fixture(loop_scope="module")
async def model(model_url: str) -> AsyncIterator[Model]:
    model = Model(ModelSettings("sk-test", model_url), pauses=(0.01,) * 5)
    yield model
    await model.close()


@pytest.fixture(scope="session")
def isolation() -> Isolation:
    return probe()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxes(
    tmp_path_factory: pytest.TempPathFactory, isolation: Isolation
) -> AsyncIterator[Sandboxes]:
    """A deployment of its own. Without isolation, our harmless commands run as they are."""
    folder = tmp_path_factory.mktemp("sandboxes")
    server = sandbox_app(
        folder / "boxes",
        api_key=E2B_KEY,
        toolchain=prepare(folder / "toolchain", []),
        isolation=isolation,
        unisolated=True,
    )
    async with serve(server) as url:
        yield Sandboxes(SandboxSettings(E2B_KEY, url, url, None), "tests")


@pytest_asyncio.fixture(loop_scope="module")
async def sandbox(sandboxes: Sandboxes, request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    sandbox = await sandboxes.create(request.node.name, "1")
    yield sandbox
    await sandbox.kill()
