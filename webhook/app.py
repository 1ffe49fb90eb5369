"""The front door: what may come in over HTTP, and what happens before anybody looks at it.

A delivery is checked against its signature, stored, and answered. Only then is it read, in the
background; should this process die in between, the worker's sweep reads it from the store.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from jobs.commands import EndSessions, Ignored, about
from jobs.forget import forget_person
from jobs.outward import Outward
from jobs.queue.errors import Newer, QueueError, StoreFull, StoreUnreachable
from jobs.queue.sessions import SessionStore
from jobs.queue.store import Delivery, Store
from jobs.queue.subscriptions import Subscriptions
from jobs.seal import Seal
from jobs.webpush import Vapid
from webhook import health, openapi, problems
from webhook.api import Api
from webhook.caller import Callers
from webhook.deliveries import reader
from webhook.oauth import OAuth
from webhook.person import GitHub
from webhook.phone import Phone
from webhook.problems import (
    Malformed,
    NotSignedIn,
    Problem,
    TokenRefused,
    TooLarge,
    Unavailable,
)
from webhook.push import Push
from webhook.session import Sessions
from webhook.shown import View
from webhook.signature import verify
from webhook.signin import SignIn
from webhook.site import Site

BIGGEST_DELIVERY = 25 * 1024 * 1024  # bytes; GitHub sends nothing larger
PATIENCE = 8.0  # seconds for storing a delivery: GitHub gives up after 10
_ARRIVING_BYTES = 256 * 1024 * 1024  # of all deliveries together, whoever sends them
_UNREAD_BYTES = 64 * 1024 * 1024  # answered and not yet read; what is above is left to the sweep
_READERS = 8
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")

log = structlog.get_logger()


@dataclass(frozen=True)
class FrontDoor:
    """What the web process is told. It is never given the App's private key."""

    webhook_secrets: tuple[str, ...] = field(repr=False)
    app_id: int | None  # to know our own comments again
    client_id: str
    client_secret: str = field(repr=False)
    # What people's tokens are sealed with: the same in all web processes.
    session_secret: str = field(repr=False)
    api_url: str = "https://api.github.com"
    url: str = "https://github.com"  # for people
    public_url: str | None = None  # our origin as people know it; None: as they come
    push_hosts: frozenset[str] = frozenset()  # "host:port" of push services on our own network
    redirects: tuple[str, ...] = ()  # addresses of the phone's app besides vibecoder://
    usd: Decimal = Decimal(5)  # the ceiling for one job, to be shown
    allow: tuple[str, ...] = ()  # accounts that are let in; empty: all
    phone: Path | None = None  # the web export of mobile/, served at /app


def app(door: FrontDoor, store: Store) -> Starlette:
    """The web application. Its lifespan closes the connections to GitHub, not the store.

    `state.leave` is to be called when the process is told to stop: it ends all open streams, for
    which a server would wait.
    """
    github = GitHub(door.api_url, door.client_id, door.client_secret)
    oauth = OAuth(door.url, door.api_url, door.client_id, door.client_secret)
    seal, site = Seal(door.session_secret, "sessions 1"), Site(door.public_url)
    sessions = Sessions(SessionStore(store), oauth, seal)
    callers = Callers(github, sessions, site)
    api = Api(store, github, callers, door.allow, View(door.url, door.usd))
    signin = SignIn(github, oauth, sessions, callers, site, seal, door.redirects)
    outward = Outward(door.push_hosts)
    push = Push(Subscriptions(store), Vapid(door.session_secret), outward, callers)
    registry = CollectorRegistry()
    watchers = Gauge("vibecoder_watchers", "Open streams of events", registry=registry)
    watchers.set_function(lambda: api.watchers)
    intake = Intake(door, store, registry)
    operations = (*api.operations(), *signin.operations(), *push.operations())
    document = openapi.document(operations)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        api.leave()
        await outward.close()
        await signin.close()
        await sessions.close()
        await oauth.close()
        await github.close()

    async def described(_: Request) -> Response:
        return JSONResponse(document)

    routes: list[Route | Mount] = [
        Route("/webhook", intake.receive, methods=["POST"]),
        *health.routes(store, registry),
        Route("/openapi.json", described),
        *(operation.route for operation in operations),
        *signin.pages(),
    ]
    if door.phone is not None:
        routes += [
            Route("/app", _to_phone),
            Mount("/app", Phone(door.phone, door.url)),
        ]
    application = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={
            Problem: problems.answer,
            TokenRefused: callers.refused,
            HTTPException: problems.answer_http,
            StoreUnreachable: _no_store,
            StoreFull: _no_store,
            Newer: _upgrading,
            Exception: problems.answer_bug,
        },
    )
    application.state.leave = api.leave
    return application


class Intake:
    """Deliveries: stored before the answer, read after it."""

    def __init__(self, door: FrontDoor, store: Store, registry: CollectorRegistry) -> None:
        self._secrets = door.webhook_secrets
        self._store = store
        self._read = reader(door.app_id, door.allow)
        self._readers = asyncio.Semaphore(_READERS)
        self._arriving = 0  # bytes
        self._unread = 0  # bytes
        self._deliveries = Counter(
            "vibecoder_deliveries",
            "Webhook deliveries by what became of them",
            ["outcome"],
            registry=registry,
        )

    async def receive(self, request: Request) -> Response:
        """`POST /webhook`. Answers 202; a delivery that came before adds `duplicate: true`."""
        signed = request.headers.get("x-hub-signature-256", "")
        # What can't be right is refused before anything of the body is taken in.
        body = await self._body(request) if signed.startswith("sha256=") else b""
        if not verify(self._secrets, body, signed):
            self._deliveries.labels("refused").inc()
            log.warning("delivery refused", bytes=len(body), signed=bool(signed))
            raise NotSignedIn(
                "The signature in X-Hub-Signature-256 does not match: check that the webhook "
                "secret of the GitHub App is the one in GITHUB_WEBHOOK_SECRET."
            )
        event, guid = _named(request)
        delivery = Delivery(guid, event, body, time.time())
        try:
            async with asyncio.timeout(PATIENCE):
                new = await self._store.keep_delivery(delivery)
        except TimeoutError:
            raise StoreUnreachable("Redis did not answer in time.") from None
        if not new:
            self._deliveries.labels("duplicate").inc()
            return JSONResponse({"duplicate": True}, 202)
        return JSONResponse({}, 202, background=BackgroundTask(self._take, delivery))

    async def _body(self, request: Request) -> bytes:
        too_large = TooLarge("A delivery may have at most 25 MB; GitHub sends nothing larger.")
        length = request.headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 12 or int(length) > BIGGEST_DELIVERY):
            raise too_large
        chunks, size = [], 0
        try:
            async for chunk in request.stream():
                size += len(chunk)
                self._arriving += len(chunk)
                if size > BIGGEST_DELIVERY:
                    raise too_large
                # Anybody can send; nobody shall fill the memory.
                if self._arriving > _ARRIVING_BYTES:
                    raise Unavailable(
                        "Too much arrives at once. Please send it again in a minute.",
                        retry_after=60,
                    )
                chunks.append(chunk)
        finally:
            self._arriving -= size
        return b"".join(chunks)

    async def _take(self, delivery: Delivery) -> None:
        size = len(delivery.body)
        if self._unread + size > _UNREAD_BYTES:
            log.warning("delivery left to the sweep", guid=delivery.guid, why="too many at once")
            return
        self._unread += size
        try:
            async with self._readers:
                await self._settle(delivery)
        except QueueError as error:
            # It is stored, so the worker's sweep reads it.
            log.warning("delivery left to the sweep", guid=delivery.guid, why=str(error))
        finally:
            self._unread -= size

    async def _settle(self, delivery: Delivery) -> None:
        found = self._read(delivery)
        command_id = ""
        if isinstance(found, Ignored):
            outcome, verdict = "ignored", found.reason
        elif isinstance(found, EndSessions):
            # At once: for this no worker is needed.
            ended = await forget_person(self._store, found.actor.id)
            outcome, verdict = found.type, f"ended {ended} sessions"
        else:
            submitted = await self._store.submit(found, time.time())
            outcome = found.type if submitted.new else "repeated"
            command_id = submitted.command_id
            verdict = f"{outcome} {submitted.job_id or command_id}"
        await self._store.settle_delivery(delivery.guid, verdict, about(found), command_id)
        self._deliveries.labels(outcome).inc()
        log.info("delivery", guid=delivery.guid, github_event=delivery.event, verdict=verdict)


def _named(request: Request) -> tuple[str, str]:
    """Event and GUID. Neither is signed, so both are only taken in the form that GitHub uses."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip()
    if kind.lower() != "application/json":
        raise Malformed(
            "Deliveries must come as application/json: set the content type of the App's webhook."
        )
    event = request.headers.get("x-github-event", "")
    guid = request.headers.get("x-github-delivery", "")
    for header, value in (("X-GitHub-Event", event), ("X-GitHub-Delivery", guid)):
        if not _NAME.fullmatch(value):
            raise Malformed(f"The header {header} is missing or not in GitHub's form.")
    return event, guid


async def _to_phone(request: Request) -> Response:
    return RedirectResponse(f"/app/?{request.url.query}".rstrip("?"))


async def _no_store(request: Request, error: Exception) -> Response:
    sentence = f"{error} Nothing was accepted; please send it again in a minute."
    return await problems.answer(request, Unavailable(sentence, retry_after=60))


async def _upgrading(request: Request, error: Exception) -> Response:
    return await problems.answer(request, Unavailable(str(error), retry_after=10))
