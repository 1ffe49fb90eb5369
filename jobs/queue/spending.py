"""What this deployment spends on the model, by day (UTC), over all workers."""

from datetime import UTC, datetime
from decimal import Decimal

from arq import ArqRedis

from jobs.queue.connection import told

KEPT = 3 * 86_400  # seconds
MICRO = Decimal(1_000_000)  # counted in whole millionths of a dollar: sums must not drift


class Spending:
    """The day's sum. Methods raise StoreUnreachable and StoreFull."""

    def __init__(self, redis: ArqRedis) -> None:
        self._redis = redis

    async def add(self, usd: Decimal, at: float) -> Decimal:
        """Counts `usd` towards the day of `at` (seconds since the epoch); returns its sum."""
        with told():
            total = await self._redis.incrby(_day(at), int((usd * MICRO).to_integral_value()))
            await self._redis.expire(_day(at), KEPT)
        return int(total) / MICRO

    async def on(self, at: float) -> Decimal:
        """What was spent on the day of `at`."""
        with told():
            total = await self._redis.get(_day(at))
        return int(total or 0) / MICRO


def _day(at: float) -> str:
    return f"vc:spent:{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
