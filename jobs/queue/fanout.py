"""One reader of Redis per process for all who watch jobs in it, however many they are.

Each watched job has one Feed: its events from the first on, rendered once for everybody. A watcher
keeps its own place in it and waits for more, so that a slow one costs nothing but its place. The
reader asks for what came after each feed's last event; that is all it takes to catch up after
Redis was away or restarted.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from functools import partial

import structlog
from pydantic import ValidationError

from jobs.events import JobEvent, Received
from jobs.job import Job, fold
from jobs.queue.connection import told
from jobs.queue.errors import JobUnknown, Newer, QueueError
from jobs.queue.store import Store, decoded

log = structlog.get_logger()

# The event's id, the job after it, the event → what is sent to whoever watches; None: nothing.
Render = Callable[[str, Job, JobEvent], bytes | None]
Entries = list[tuple[bytes, dict[bytes, bytes]]]

BLOCK_MS = 3_000  # shorter than the pool's socket timeout, which takes silence for a dead peer
AT_ONCE = 65_536  # bytes: what a slow watcher has not taken yet must not pile up
PAUSE = 0.5  # seconds before Redis is asked again after it failed


def order(event_id: str) -> tuple[int, int]:
    """By which events are in order. Raises ValueError where it is no event's id."""
    ms, _, number = event_id.partition("-")
    return int(ms), int(number or 0)


class Feed:
    """A job's events so far, as they are sent, and the wait for more."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.watchers = 0
        self.last = "0"
        self._job: Job | None = None
        self._ids: list[tuple[int, int]] = []
        self._sent: list[bytes] = []
        self._begin = 0  # of this record; before it lies one that Redis lost
        self._changed = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def job(self) -> Job:
        """The job as it is now."""
        if self._job is None:
            raise JobUnknown(f"There is no job {self.job_id}; it may have ended over a week ago.")
        return self._job

    def place(self, after: str) -> int:
        """Where somebody goes on who has seen all up to that event. Raises ValueError."""
        if order(after) > order(self.last):  # of a record that Redis lost
            return self._begin
        return max(self._begin, bisect_right(self._ids, order(after)))

    def since(self, place: int) -> tuple[bytes, int]:
        """What came since that place, as much as is sent at once, and the place after it."""
        end, size = place, 0
        while end < len(self._sent) and size < AT_ONCE:
            size += len(self._sent[end])
            end += 1
        return b"".join(self._sent[place:end]), end

    async def more(self, place: int) -> None:
        """Returns when there is something after that place."""
        while len(self._sent) == place:
            await self._changed.wait()

    async def until_over(self) -> None:
        """Returns when nothing more comes from here, although the job may go on."""
        await self._over.wait()

    def add(self, news: list[tuple[str, JobEvent]], render: Render) -> None:
        for event_id, event in news:
            if isinstance(event, Received):  # the first, or the first after Redis lost everything
                self._job, self._begin = fold(self.job_id, [event]), len(self._sent)
            else:
                self._job = self.job.apply(event)
            self.last = event_id
            if (rendered := render(event_id, self._job, event)) is not None:
                self._ids.append(order(event_id))
                self._sent.append(rendered)
        self._wake()

    def end(self) -> None:
        """Everybody who watches lets go, and comes again elsewhere."""
        self._over.set()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Fanout:
    """All feeds of this process."""

    def __init__(self, store: Store, render: Render) -> None:
        self._store = store
        self._render = render
        self._feeds: dict[str, Feed] = {}
        self._loading: dict[str, asyncio.Task[Feed]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[dict[Feed, Entries]] | None = None
        self._closed = False

    @property
    def watchers(self) -> int:
        """How many watch something now."""
        return sum(feed.watchers for feed in self._feeds.values())

    async def join(self, job_id: str) -> Feed:
        """The job's feed, complete as of now; to be left again.

        Raises JobUnknown, Newer, StoreUnreachable.
        """
        feed = self._feeds.get(job_id)
        if feed is None:
            loading = self._loading.get(job_id)
            if loading is None:
                loading = self._loading[job_id] = asyncio.create_task(self._load(job_id))
                loading.add_done_callback(partial(self._loaded, job_id))
            feed = await asyncio.shield(loading)  # others may wait for it too
        feed.watchers += 1
        return feed

    def leave(self, feed: Feed) -> None:
        feed.watchers -= 1
        if not feed.watchers and self._feeds.get(feed.job_id) is feed:
            del self._feeds[feed.job_id]

    def close(self) -> None:
        """Ends all feeds at once, and for good: this process goes."""
        self._closed = True
        for feed in self._feeds.values():
            feed.end()
        self._feeds.clear()
        if self._reading is not None:
            self._reading.cancel()

    def _loaded(self, job_id: str, loading: asyncio.Task[Feed]) -> None:
        del self._loading[job_id]
        if not loading.cancelled():
            loading.exception()  # is for whoever waits, if somebody still does

    async def _load(self, job_id: str) -> Feed:
        feed = Feed(job_id)
        feed.add(await self._store.history(job_id), self._render)
        _ = feed.job  # there is one
        if self._closed:
            feed.end()
            return feed
        self._feeds[job_id] = feed
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read())
        elif self._reading is not None:
            self._reading.cancel()  # to be asked again, for this one too
        return feed

    async def _read(self) -> None:
        while self._feeds:
            reading = self._reading = asyncio.create_task(self._news(list(self._feeds.values())))
            await asyncio.wait({reading})
            if reading.cancelled():
                continue
            try:
                news = reading.result()
            except QueueError as error:
                log.warning("watching waits for Redis", reason=str(error))
                await asyncio.sleep(PAUSE)
                continue
            for feed, entries in news.items():
                try:
                    feed.add(decoded(entries), self._render)
                except (Newer, ValidationError) as error:
                    log.warning("watching ends here", job=feed.job_id, reason=str(error))
                    self._drop(feed)
                except Exception:  # one job's record must not end the watching of all others
                    log.exception("watching ends here", job=feed.job_id)
                    self._drop(feed)

    def _drop(self, feed: Feed) -> None:
        self._feeds.pop(feed.job_id, None)
        feed.end()

    async def _news(self, feeds: list[Feed]) -> dict[Feed, Entries]:
        by_key = {f"vc:events:{feed.job_id}": feed for feed in feeds}
        with told():
            answer = await self._store.redis.xread(
                {key: feed.last for key, feed in by_key.items()}, block=BLOCK_MS
            )
        return {by_key[key.decode()]: entries for key, entries in answer or []}
