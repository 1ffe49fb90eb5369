"""arq's worker with leases: a job belongs to whoever renewed its lease last, and only to them.

Stock arq locks a job for as long as it may run, so a killed worker's job waits that long. Here
arq's own lock is short, renewed by one heartbeat per worker, and its value is a fencing token that
the store checks on every write and `Lease.guard` checks before every effect outside. At least once
remains: an effect between a guard and its arrival may be late, so effects must bear repetition.

`_poll_iteration`, `start_jobs` and `run_job` of arq 0.28.0 are built upon. A test holds their
source, because they are no public interface.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import cast

import structlog
from arq.constants import in_progress_key_prefix
from arq.worker import Function, Worker
from redis.exceptions import RedisError

from jobs.queue.errors import LeaseLost, QueueError
from jobs.queue.health import Trouble, beat_of
from jobs.queue.store import Store

__all__ = ["Lease", "LeaseLost", "LeasedWorker"]

log = structlog.get_logger()

SETTLE_SLOTS = 10  # beside those for jobs, so that a Stop never waits behind the work it stops
READ_LIMIT = 5_000  # arq reads this many entries from the head, running ones included
HAND_OVER_SECONDS = 0.7
OTHERS_TURN_MS = 10_000  # how long an entry that we don't understand is left to other workers


def boot_clock() -> float:
    """Seconds that also count while this process or machine is frozen."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """One worker's hold on one job or command."""

    def __init__(
        self,
        entry: str,
        token: int,
        worker: str,
        attempt: int,
        renew: Callable[["Lease"], Awaitable[None]],
    ) -> None:
        self.entry = entry  # the queue entry it came through
        self.id = entry.partition(".")[0]  # the job's or command's
        self.token = token
        self.worker = worker  # its name, for Claimed
        self.attempt = attempt  # claims since the last progress, this one included
        self.cancelled = False  # somebody asked to stop; otherwise a cancellation is a shutdown
        self.lost = False
        self.counts = True  # False: this attempt is not held against the job
        self.until = 0.0  # boot_clock: nobody else can have it before
        self._renew = renew

    async def guard(self) -> None:
        """Await before EVERY effect outside this process. Raises LeaseLost, StoreUnreachable."""
        if not self.lost and boot_clock() > self.until:
            await self._renew(self)
        if self.lost:
            raise LeaseLost(f"Job {self.id} is no longer this worker's.")


class LeasedWorker(Worker):
    """Runs entries under leases, fairly between groups, until told to stop.

    `async_run` returns after SIGTERM or SIGINT, having handed over what it held. The store's pool
    stays open: it belongs to whoever made it.
    """

    def __init__(
        self,
        store: Store,
        function: Function,
        *,
        concurrency: int,
        per_installation: int,
        per_repository: int,
        lease_seconds: float,
        handle_signals: bool,
        background: Callable[[], Coroutine[None, None, None]],
    ) -> None:
        self.name = f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        super().__init__(
            [function],
            redis_pool=store.redis,
            max_jobs=concurrency + SETTLE_SLOTS,
            job_timeout=30 * 86_400,  # a job's own ceilings end it; a timeout here would lose it
            keep_result=0,
            max_tries=10**6,  # attempts are counted in our record, where a hand-over costs none
            poll_delay=0.1 * lease_seconds,  # what a missed wake-up costs
            queue_read_limit=READ_LIMIT,
            handle_signals=handle_signals,
            job_serializer=store.redis.job_serializer,
            job_deserializer=store.redis.job_deserializer,
            log_results=False,
        )
        self.store = store
        self.concurrency = concurrency
        self.per_installation = per_installation
        self.per_repository = per_repository
        self.lease_seconds = lease_seconds
        self.in_progress_timeout_s = lease_seconds
        self.leases: dict[str, Lease] = {}
        self.stopping = asyncio.Event()
        self._background = background
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()
        self._started = False
        self._contact = boot_clock()
        self._hold_until = 0.0

    # The life of the worker

    async def async_run(self) -> None:
        """Works until SIGTERM, SIGINT, `close` or cancellation."""
        await self.main()

    async def main(self) -> None:
        self._started = True
        try:
            async with asyncio.TaskGroup() as group:
                picking = group.create_task(self._pick())
                others = [
                    group.create_task(work)
                    for work in (self._beat(), self._listen(), self._background())
                ]
                try:
                    await self.stopping.wait()
                finally:
                    await self._hand_over(picking)
                    for task in others:
                        task.cancel()
        finally:
            self._ended.set()

    async def _pick(self) -> None:
        await self._hold_after_restart()
        while not self.stopping.is_set():
            self._woken.clear()
            try:
                await self._poll_iteration()
            except (RedisError, QueueError) as error:
                # Full or away: what runs goes on, and a worker that exits helps nobody.
                log.warning("queue_unreadable", error=str(error))
                await asyncio.sleep(self.poll_delay_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.poll_delay_s):
                    await self._woken.wait()

    def handle_sig(self, signum: signal.Signals) -> None:
        log.info("worker_stopping", signal=signal.Signals(signum).name, held=len(self.leases))
        self.stop()

    def stop(self) -> None:
        """Ends `async_run` soon; what is held goes to other workers without costing a try."""
        self.stopping.set()
        self._woken.set()

    async def close(self) -> None:
        """Stops and waits. The store stays open."""
        self.stop()
        if self._started:
            await self._ended.wait()

    async def _hand_over(self, picking: asyncio.Task[None]) -> None:
        self.stop()
        # Through its round, lest it leave a lock behind; Redis being away must not hold us up.
        await asyncio.wait([picking], timeout=0.2)
        picking.cancel()
        entries = list(self.tasks)
        held = [task for task in self.tasks.values() if not task.done()]
        for handler in self.job_tasks.values():  # what is about to start sees `stopping`
            handler.cancel()
        if held:
            await asyncio.wait(held, timeout=HAND_OVER_SECONDS)
        # Whoever is not through by now loses the lease under its feet: fencing makes that safe.
        for lease in self.leases.values():
            lease.lost = True
        for task in held:
            task.cancel()
        try:
            async with asyncio.timeout(1):
                await self.store.run("RELEASE", self.name, *entries)
                await self.pool.delete(f"vc:worker:{self.name}")
        except (RedisError, QueueError, TimeoutError) as error:
            log.warning("not_handed_over", held=len(entries), error=str(error))

    async def heart_beat(self) -> None:
        """arq's health record and crons, which we have none of."""

    # Picking

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        self._heard()
        if self.stopping.is_set() or boot_clock() < self._hold_until:
            return
        entries = [raw.decode() for raw in job_ids]
        entries = [
            entry for entry in entries if entry not in self.tasks or self.tasks[entry].done()
        ]
        free_runs, free_settles = self._free()
        settles = [entry for entry in entries if entry[0] == "c"] if free_settles else []
        runs = [entry for entry in entries if entry[0] == "j"] if free_runs else []
        if not settles and not runs:
            return
        marked, *locks = await self.pool.mget(
            ["vc:store", *(in_progress_key_prefix + entry for entry in settles + runs)]
        )
        if marked is None:
            runs = []  # until it is known what an emptied store lost: the job may stand on GitHub
            locks = locks[: len(settles)]
        locked = {entry for entry, lock in zip(settles + runs, locks, strict=True) if lock}
        settles = self._settles_in_turn([entry for entry in settles if entry not in locked])
        runs = await self._runs_in_turn([entry for entry in runs if entry not in locked])
        chosen = settles[:free_settles] + runs[:free_runs]
        await super().start_jobs([entry.encode() for entry in chosen])

    def _free(self) -> tuple[int, int]:
        """How many more jobs, and how many more commands, fit."""
        busy = [entry for entry, task in self.tasks.items() if not task.done()]
        runs = sum(entry[0] == "j" for entry in busy)
        return self.concurrency - runs, SETTLE_SLOTS - (len(busy) - runs)

    async def _runs_in_turn(self, entries: list[str]) -> list[str]:
        keys = {f"vc:running:{part}" for entry in entries for part in _shares(entry)}
        async with self.pool.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.zcount(key, _now_ms(), "+inf")
            counts = dict(zip(keys, await pipe.execute(), strict=True))
        running = Counter({key.removeprefix("vc:running:"): n for key, n in counts.items()})
        return _in_turn(entries, running, (self.per_installation, self.per_repository))

    def _settles_in_turn(self, entries: list[str]) -> list[str]:
        busy = [entry for entry, task in self.tasks.items() if entry[0] == "c" and not task.done()]
        settling = Counter(part for entry in busy for part in _shares(entry))
        return _in_turn(entries, settling, (SETTLE_SLOTS // 2, SETTLE_SLOTS // 2))

    async def run_job(self, job_id: str, score: int) -> None:
        try:
            lease = await self._claim(job_id)
            if lease is None:
                return
            self.leases[job_id] = lease
            await super().run_job(job_id, score)
            self._woken.set()  # there is a slot
            if lease.lost:
                # Frozen between its guard and its write, the handler wrote late: an old rendering
                # over a new one, a second comment beside the first. Nobody out there knows of
                # fencing, so whoever is through with it next shows it once more.
                again = self.store.run_again if job_id[0] == "j" else self.store.settle_again
                await again(lease.id)
        except (RedisError, QueueError) as error:
            # The entry is still queued and its lock lapses: this or another worker takes it up.
            log.warning("run_interrupted", entry=job_id, error=str(error))
        finally:
            self.leases.pop(job_id, None)
            self.aborting_tasks.discard(job_id)

    async def _claim(self, entry: str) -> Lease | None:
        asked_at = boot_clock()
        answer = await self.store.run(
            "CLAIM",
            entry,
            self.name,
            self._lease_ms,
            _now_ms(),
            self.per_installation,
            self.per_repository,
        )
        if len(answer) == 1:
            log.debug("not_claimed", entry=entry, why=answer[0].decode())
            return None
        token, attempts, cancel = answer
        lease = Lease(entry, int(token), self.name, int(attempts), self._renew_one)
        lease.cancelled = cancel == b"1"
        lease.until = asked_at + 0.8 * self.lease_seconds
        return lease

    # Holding on

    async def _beat(self) -> None:
        silent_since: float | None = None
        trouble: Trouble | None = None
        while True:
            began = time.time()
            try:
                await self._renew(list(self.leases.values()))
                name = f"vc:worker:{self.name}"
                await self.pool.set(name, beat_of(trouble), px=self._lease_ms)
                if time.time() - (silent_since or began) > 0.5 * self.lease_seconds:
                    trouble = Trouble(silent_since or began, time.time())
                silent_since = None
            except (RedisError, QueueError) as error:
                silent_since = silent_since or began
                log.warning("leases_not_renewed", held=len(self.leases), error=str(error))
            await asyncio.sleep(0.3 * self.lease_seconds)

    async def _renew_one(self, lease: Lease) -> None:
        await self._renew([lease])

    async def _renew(self, leases: list[Lease]) -> None:
        if not leases:
            return
        asked_at = boot_clock()
        pairs = [part for lease in leases for part in (lease.entry, str(lease.token))]
        answers = await self.store.run("RENEW", self.name, self._lease_ms, _now_ms(), *pairs)
        self._heard()
        for lease, answer in zip(leases, answers, strict=True):
            if self.leases.get(lease.entry) is not lease:
                continue  # it finished meanwhile
            task = self.job_tasks.get(lease.entry)
            if answer == 0:
                lease.lost = True
                if task is not None:
                    task.cancel()
                continue
            lease.until = asked_at + 0.8 * self.lease_seconds
            if answer == 2 and not lease.cancelled:
                lease.cancelled = True
                if task is not None:
                    self.aborting_tasks.add(lease.entry)
                    task.cancel()

    async def _hold_after_restart(self) -> None:
        """Redis came up just now with work in it: let its owners take up their leases first."""
        server = await self.pool.info("server")
        if server["uptime_in_seconds"] < self.lease_seconds:
            async for _ in self.pool.scan_iter(match="vc:running:*", count=1_000):
                self._hold_until = boot_clock() + 0.5 * self.lease_seconds
                return

    def _heard(self) -> None:
        """Redis answered. After a silence in which leases lapsed, their owners go first."""
        now = boot_clock()
        if now - self._contact > 0.5 * self.lease_seconds:
            self._hold_until = now + 0.5 * self.lease_seconds
        self._contact = now

    @property
    def _lease_ms(self) -> int:
        return int(self.lease_seconds * 1000)

    # Letting go

    async def finish_job(
        self,
        job_id: str,
        finish: bool,
        result_data: bytes | None,
        result_timeout_s: float | None,
        keep_result_forever: bool,
        incr_score: int | None,
        keep_in_progress: float | None,
    ) -> None:
        outcome = "finish" if finish else "again"
        if not finish and (self.stopping.is_set() or not self.leases[job_id].counts):
            outcome = "refund"
        await self._let_go(job_id, outcome, incr_score or 0)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        # Not one of ours to judge: its payload expired (the script drops the entry and the sweep
        # makes another), or it is of another version, whose worker will take it.
        await self.pool.zadd(self.queue_name, {job_id: _now_ms() + OTHERS_TURN_MS}, xx=True)
        await self._let_go(job_id, "refund", 0)

    async def _let_go(self, entry: str, outcome: str, defer_ms: int) -> None:
        lease = self.leases[entry]
        args = entry, self.name, str(lease.token), outcome, defer_ms
        lease.lost = not await self.store.run("FINISH", *args) or lease.lost

    async def _listen(self) -> None:
        """Blocks on the wake lists, so that a new entry is seen in milliseconds without polling."""
        while True:
            free_runs, free_settles = self._free()
            lists = ["vc:wake:c"] * (free_settles > 0) + ["vc:wake:j"] * (free_runs > 0)
            try:
                if not lists:
                    await asyncio.sleep(self.poll_delay_s)
                # Shorter than the pool's socket timeout, which would take silence for a dead peer.
                elif await cast(Awaitable[object], self.pool.blpop(lists, timeout=3)):
                    self._woken.set()
            except RedisError as error:
                log.warning("wake_up_lost", error=str(error))
                await asyncio.sleep(self.poll_delay_s)


def _shares(entry: str) -> list[str]:
    """The semaphores that a running entry takes part in: its installation's, its repository's."""
    _, _, group = entry.split(".", 2)
    installation, _, repository = group.partition(".")
    return [installation, f"r{repository}"] if repository else [installation]


def _in_turn(entries: list[str], running: Counter[str], limits: tuple[int, int]) -> list[str]:
    """In turns between installations, those with least running first; first come within one.

    `limits`: how many may run of an installation, and of a repository.
    """
    turn: dict[str, int] = {}
    for entry in entries:
        shares = _shares(entry)
        if all(running[share] < limit for share, limit in zip(shares, limits, strict=False)):
            turn[entry] = running[shares[0]]
            running.update(shares)
    return sorted(turn, key=lambda entry: turn[entry])


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
