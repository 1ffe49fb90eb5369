"""One house for all front-door tests; each test has a repository of its own in it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from house import House, house
from phone import missing
from phone_place import Place, place


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="house")
async def _house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session", name="place")
async def _place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """For tests in a browser."""
    assert not missing(), f"`make test-mobile` provides all but node and chromium: {missing()}"
    async with place(tmp_path_factory.mktemp("phone")) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them share the house's event loop."""
    for item in items:
        if "tests/e2e/" in str(item.path):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
