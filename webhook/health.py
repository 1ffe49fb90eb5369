"""What a load balancer, a supervisor and Prometheus ask. The worker listens nowhere, so this tells
of the whole deployment, as Redis knows it.
"""

import asyncio

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from jobs.queue.errors import StoreFull, StoreUnreachable
from jobs.queue.health import Health, check_writing, look
from jobs.queue.store import Store

PATIENCE = 5.0  # seconds for Redis; Prometheus gives up after 10, most balancers sooner

log = structlog.get_logger()


def routes(store: Store, counters: CollectorRegistry) -> list[Route]:
    """`/healthz`, `/readyz` and `/metrics`; `counters` are this process's own."""

    async def alive(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(_: Request) -> Response:
        """`{ready, redis, workers, notes}`: 200 where a delivery could be kept, else 503."""
        try:
            async with asyncio.timeout(PATIENCE):
                await check_writing(store)
                found = await look(store)
        except StoreFull as error:
            return _unready(str(error), redis=True)
        except StoreUnreachable as error:
            return _unready(str(error), redis=False)
        except TimeoutError:
            return _unready("The job store (Redis) did not answer in time.", redis=False)
        return _answer(200, True, True, found.workers, found.notes())

    async def metrics(_: Request) -> Response:
        found: Health | None = None
        try:
            async with asyncio.timeout(PATIENCE):
                found = await look(store)
        except (StoreUnreachable, TimeoutError) as error:
            log.warning("metrics_without_redis", error=str(error) or "it did not answer in time")
        text = generate_latest(counters) + generate_latest(_gauges(found))
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/metrics", metrics),
    ]


def _unready(sentence: str, *, redis: bool) -> Response:
    return _answer(503, False, redis, None, [f"{sentence} Nothing can be accepted now."])


def _answer(
    status: int, ready: bool, redis: bool, workers: int | None, notes: list[str]
) -> Response:
    body = {"ready": ready, "redis": redis, "workers": workers, "notes": notes}
    return JSONResponse(body, status, headers={"Cache-Control": "no-store"})


def _gauges(found: Health | None) -> CollectorRegistry:
    """What is not known is left out: an old value would pass for a new one."""
    registry = CollectorRegistry()

    def gauge(name: str, help: str, value: float) -> None:
        Gauge(f"vibecoder_{name}", help, registry=registry).set(value)

    gauge("redis_up", "Whether Redis answers", found is not None)
    if found is None:
        return registry
    gauge("workers", "Workers that were alive within the last lease", found.workers)
    entries = Gauge(
        "vibecoder_queue_entries", "Entries waiting or running", ["kind"], registry=registry
    )
    for kind, count in found.entries.items():
        entries.labels(kind).set(count)
    gauge("jobs_open", "Jobs that have not ended", found.open_jobs)
    gauge("jobs_awaiting_approval", "Open jobs that wait for a person", found.waiting_jobs)
    gauge("oldest_command_seconds", "Age of the oldest unsettled command", found.oldest_command)
    gauge("oldest_delivery_seconds", "Age of the oldest unread delivery", found.oldest_delivery)
    gauge("notifications_waiting", "Notifications that were not taken yet", found.untold)
    if found.memory is not None:
        gauge("redis_memory_ratio", "Redis's memory in use, of its maxmemory", found.memory)
    gauge("dollars_today", "Spent on the model since midnight UTC", float(found.usd_today))
    return registry
