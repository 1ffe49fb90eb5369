"""A Messages API on loopback with a small script on its stage, one for a whole file of tests."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from model_requests import HEADERS

from vibecoder.local.model.app import app
from vibecoder.local.model.script import Stage, Turn, call, say, think, turns
from vibecoder.local.serve import serve


@pytest.fixture(scope="module")
def stage() -> Stage:
    stage = Stage(keys={"good"})
    stage.play(turns(Turn((think("hm"), call("look", at="it"))), Turn((say("done"),))))
    return stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(app(stage)) as url, httpx.AsyncClient(base_url=url, headers=HEADERS) as client:
        yield client
