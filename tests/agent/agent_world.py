"""What the tests of this room share."""

import io
import tarfile
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from agent.progress import Message, Progress, Run, Spent


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    async def __call__(self, progress: Progress) -> None:
        self.seen.append(progress)

    @property
    def usd(self) -> Decimal:
        return sum((seen.usd for seen in self.seen if isinstance(seen, Spent)), Decimal(0))

    @property
    def runs(self) -> list[Run]:
        return [seen for seen in self.seen if isinstance(seen, Run)]


class Journal:
    """Keeps messages, as the store does."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        self.messages.append(message)


class Theatre:
    """One address at which each test's own stage can be put up."""

    def __init__(self) -> None:
        self.url = ""
        self.app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def tar_of(files: Mapping[str, bytes]) -> io.BytesIO:
    """A tar file of regular files, ready to be read."""
    out = io.BytesIO()
    with tarfile.open(mode="w", fileobj=out) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    out.seek(0)
    return out
