"""The operator's topic, as an ntfy server has it: what was told there of which job."""

from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Topic:
    """Takes everything, in order."""

    heard: list[dict[str, Any]] = field(default_factory=list)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/", self._publish, methods=["POST"])])

    def of(self, job_id: str) -> list[str]:
        """The titles of what was told of a job."""
        return [str(said["title"]) for said in self.heard if said["sequence_id"].startswith(job_id)]

    async def _publish(self, request: Request) -> Response:
        self.heard.append(await request.json())
        return JSONResponse({})
