"""The model's prose in the job's record, while it is written: in pieces, and up to a limit."""

import asyncio
from contextlib import suppress
from typing import Self

from jobs.events import Noted, Said
from jobs.job import NOTE_CHARS
from jobs.record import Record

MOST_CHARS = 64_000  # of a job; beyond it there is a line for each text, and lines can be trimmed
PAUSE = 0.5  # seconds between two pieces: whoever watches reads no faster


class Prose:
    """Of one conversation, while the block runs. The model is never kept waiting by the store."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._room = MOST_CHARS - record.job.said
        self._pieces: list[tuple[str, bool]] = []  # not stored yet
        self._ended = asyncio.Event()
        self._storing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        """What is not stored by now belongs to an answer that did not come to its end."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.wait({self._storing})

    def write(self, text: str, begins: bool) -> None:
        """The next piece; `begins`: of something new."""
        if self._room <= 0:
            return
        self._room -= len(text)
        if begins or not self._pieces:
            self._pieces.append((text, begins))
        else:
            before, began = self._pieces[-1]
            self._pieces[-1] = before + text, began
        if self._storing is None or self._storing.done():
            self._ended.clear()
            self._storing = asyncio.create_task(self._store_soon())
            self._storing.add_done_callback(_looked_at)

    async def end(self, text: str) -> None:
        """The model is through with its answer, of which that text is a part.

        Raises what storing raised.
        """
        self._ended.set()
        if self._storing is not None:
            await self._storing
        if self._room <= 0:
            await self._record.add(Noted(self._record.now, text[:NOTE_CHARS]))

    async def _store_soon(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE):
                await self._ended.wait()
        pieces, self._pieces = self._pieces, []
        now = self._record.now
        await self._record.add(*(Said(now, text, begins) for text, begins in pieces))


def _looked_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # `end` raises it, unless something worse ended the conversation before
