"""How fast an installation's writes to GitHub go out, counted over all workers.

GitHub allows 80 requests a minute and 500 an hour that make content. Half of each hour's share may
go out as fast as the minute's allows; the rest is spread evenly, so that nobody waits for the hour
to end.
Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
(About secondary rate limits)
"""

import time

from jobs.queue.store import Store

AT_ONCE = 20  # then one a second: 80 in any minute
A_SECOND_MS = 1_000
AN_HOURS_HALF = 250  # then one every 14.4 s: 500 in any hour
SPREAD_MS = 14_400
LOOK = -1.0  # no wait is as short


class Pace:
    """The turns of all installations. Methods raise StoreUnreachable and StoreFull.

    A question that is asked again over a connection that broke takes a second turn, which is never
    used.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def turn(self, installation_id: int, patience: float) -> float:
        """Seconds until one write may go out. It is taken, unless it is more than `patience`."""
        wait, _ = await self._ask(installation_id, patience)
        return wait

    async def left(self, installation_id: int) -> int:
        """How many writes the hour would still let through without spreading them."""
        _, left = await self._ask(installation_id, LOOK)
        return left

    async def hold(self, installation_id: int, until: float) -> None:
        """GitHub wants no write before `until` (seconds since the epoch)."""
        ms = int((until - time.time()) * 1000)
        if ms > 0:
            await self._store.run("HOLD", installation_id, ms)

    async def _ask(self, installation_id: int, patience: float) -> tuple[float, int]:
        wait_ms, left = await self._store.run(
            "PACE",
            installation_id,
            int(patience * 1000),
            AT_ONCE,
            A_SECOND_MS,
            AN_HOURS_HALF,
            SPREAD_MS,
        )
        return wait_ms / 1000, left
