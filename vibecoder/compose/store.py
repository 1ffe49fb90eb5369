"""The store that web and worker share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobs.queue.store import Store, connect
from vibecoder.settings import Settings, SettingsError

WORKER_RETRIES = 600  # some ten minutes: jobs sit an outage out
WEB_RETRIES = 3  # GitHub waits ten seconds, and its failed deliveries are kept there


def redis_url(settings: Settings) -> str:
    """The store's address; starts the embedded server, or attaches to it, where none is set."""
    if settings.redis_url is not None:
        url = settings.redis_url.get_secret_value()
        try:
            connect(url)
        except ValueError as error:
            raise SettingsError(str(error)) from None
        return url
    from vibecoder.local import redis

    return redis.start(settings.vibecoder_state_dir / "redis").url


@asynccontextmanager
async def open_store(settings: Settings, retries: int) -> AsyncIterator[Store]:
    """The store, closed on leaving. `retries`: how often a call is tried while Redis is away."""
    store = Store(connect(redis_url(settings), retries=retries))
    try:
        yield store
    finally:
        await store.close()
