"""Webhooks: which App hears of what, signing, delivery, the log and redelivery.

Sources: docs.github.com "Webhook events and payloads", "Best practices for using webhooks" (10 s
for an answer), "Redelivering webhooks" (a log of 3 days, the GUID stays the same).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import uuid
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from vibecoder.local.github import auth
from vibecoder.local.github.records import (
    Account,
    Actor,
    App,
    Delivery,
    Installation,
    Repository,
    now,
    stamp,
)
from vibecoder.local.github.shapes import accounts, repositories
from vibecoder.local.github.shapes.site import node, site_of

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

PATIENCE = 10.0  # seconds
KEPT = timedelta(days=3)
LARGEST = 25 * 1024 * 1024  # bytes; GitHub does not send more

# What an App must be allowed to read to hear of an event.
NEEDS = {
    "issue_comment": "issues:read",
    "issues": "issues:read",
    "label": "issues:read",
    "pull_request": "pull_requests:read",
    "pull_request_review": "pull_requests:read",
    "pull_request_review_comment": "pull_requests:read",
    "check_run": "checks:read",
    "check_suite": "checks:read",
    "push": "contents:read",
    "create": "contents:read",
    "delete": "contents:read",
}


def fire(
    world: World,
    repository: Repository,
    actor: Actor,
    event: str,
    action: str | None,
    fields: dict[str, Any],
    *,
    only: App | None = None,
) -> None:
    """Tells every subscribed App on the repository; `only` limits it to one App.

    An App with checks:write hears of its own check events without subscribing.
    """
    site = site_of(world)
    for installation in list(world.installations.values()):
        app = installation.app
        if repository.id not in installation.repository_ids or installation.suspended_at:
            continue
        if only is not None and app is not only:
            continue
        owns_checks = event.startswith("check_") and auth.allows(
            installation.permissions, "checks:write"
        )
        if event not in app.events and not owns_checks:
            continue
        if not auth.allows(installation.permissions, NEEDS.get(event, "metadata:read")):
            continue
        payload: dict[str, Any] = {"action": action} if action else {}
        payload |= fields
        payload["repository"] = repositories.repository(site, repository)
        if repository.owner.type == "Organization":
            payload["organization"] = accounts.organization(site, repository.owner)
        payload["sender"] = accounts.account(site, actor.account)
        payload["installation"] = {
            "id": installation.id,
            "node_id": node("IN", installation.id),
        }
        _post(world, app, event, action, payload, installation.id, repository.id)


def installation(world: World, it: Installation, action: str, sender: Account) -> None:
    """The `installation` event, which cannot be unsubscribed from."""
    site = site_of(world)
    payload: dict[str, Any] = {
        "action": action,
        "installation": accounts.installation(site, it),
        "sender": accounts.account(site, sender),
    }
    if action in ("created", "deleted"):
        payload["repositories"] = _brief(world, it.repository_ids)
        payload["requester"] = None
    _post(world, it.app, "installation", action, payload, it.id, None)


def installation_repositories(
    world: World, it: Installation, added: list[Repository], removed: Iterable[Repository] = ()
) -> None:
    """The `installation_repositories` event, which cannot be unsubscribed from."""
    site = site_of(world)
    gone = list(removed)
    action = "removed" if gone else "added"
    payload = {
        "action": action,
        "installation": accounts.installation(site, it),
        "repository_selection": it.selection,
        "repositories_added": [repositories.brief_repository(r) for r in added],
        "repositories_removed": [repositories.brief_repository(r) for r in gone],
        "requester": None,
        "sender": accounts.account(site, it.account),
    }
    _post(world, it.app, "installation_repositories", action, payload, it.id, None)


def authorization_revoked(world: World, app: App, person: Account) -> None:
    """The `github_app_authorization` event, which cannot be unsubscribed from."""
    payload = {"action": "revoked", "sender": accounts.account(site_of(world), person)}
    _post(world, app, "github_app_authorization", "revoked", payload, None, None)


def ping(world: World, app: App) -> None:
    """What a newly set hook URL hears first."""
    payload = {
        "zen": "Responsive is better than fast.",
        "hook_id": app.id,
        "hook": {
            "type": "App",
            "id": app.id,
            "name": "web",
            "active": True,
            "events": list(app.events),
            "config": {
                "content_type": "json",
                "insecure_ssl": "0",
                "secret": "********",
                "url": app.hook_url,
            },
            "updated_at": stamp(app.created_at),
            "created_at": stamp(app.created_at),
            "app_id": app.id,
        },
    }
    _post(world, app, "ping", None, payload, None, None)


def _brief(world: World, ids: Iterable[int]) -> list[dict[str, Any]]:
    return [repositories.brief_repository(world.repositories[one]) for one in sorted(ids)]


def _post(
    world: World,
    app: App,
    event: str,
    action: str | None,
    payload: dict[str, Any],
    installation_id: int | None,
    repository_id: int | None,
) -> None:
    if not app.hook_url:
        return
    delivery = Delivery(
        id=world.next_id(),
        guid=str(uuid.uuid4()),
        app=app,
        event=event,
        action=action,
        # A copy through JSON: what happens later must not change what was said.
        payload=json.loads(json.dumps(payload)),
        installation_id=installation_id,
        repository_id=repository_id,
    )
    world.courier.post(delivery)


def redeliver(world: World, of: Delivery) -> Delivery:
    """Sends a delivery once more, under the same GUID."""
    again = Delivery(
        id=world.next_id(),
        guid=of.guid,
        app=of.app,
        event=of.event,
        action=of.action,
        payload=of.payload,
        installation_id=of.installation_id,
        repository_id=of.repository_id,
        redelivery=True,
    )
    world.courier.post(again)
    return again


def recent(world: World, app: App) -> list[Delivery]:
    """The App's deliveries of the last 3 days, newest first."""
    oldest = now() - KEPT
    for delivery in list(world.deliveries.values()):
        if delivery.delivered_at is not None and delivery.delivered_at < oldest:
            del world.deliveries[delivery.id]
    mine = [d for d in world.deliveries.values() if d.app is app and d.delivered_at]
    return sorted(mine, key=lambda delivery: delivery.id, reverse=True)


def headers(delivery: Delivery, body: bytes) -> dict[str, str]:
    """What goes with a delivery; the SHA-1 signature is there for old receivers."""
    secret = delivery.app.webhook_secret.encode()
    return {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/0000000",
        "X-GitHub-Delivery": delivery.guid,
        "X-GitHub-Event": delivery.event,
        "X-GitHub-Hook-ID": str(delivery.app.id),
        "X-GitHub-Hook-Installation-Target-ID": str(delivery.app.id),
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature": "sha1=" + hmac.new(secret, body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
    }


class Courier:
    """Delivers in the background, in the order of events, without waiting for each other.

    It runs with the server (`run`); what is posted before that waits. As on GitHub nothing is
    tried again by itself.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._waiting: deque[Delivery] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    def post(self, delivery: Delivery) -> None:
        """Takes a delivery; may be called from any thread."""
        self._world.deliveries[delivery.id] = delivery
        self._waiting.append(delivery)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Delivers until cancelled."""
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._wake.set()
        limits = httpx.Limits(max_keepalive_connections=0)
        try:
            # Proxies of the environment are not for addresses on this machine.
            async with httpx.AsyncClient(
                timeout=PATIENCE, trust_env=False, limits=limits
            ) as client:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    while self._waiting:
                        self._start(client, self._waiting.popleft())
        finally:
            self._loop = None
            for task in list(self._under_way):
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    def _start(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        task = asyncio.create_task(self._deliver(client, delivery))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def settled(self) -> None:
        """Returns once everything that was posted has been answered or given up.

        Raises RuntimeError where the server does not run, since nothing would be sent.
        """
        if self._loop is None:
            raise RuntimeError("The local GitHub is not being served.")
        while self._waiting or self._under_way:
            await asyncio.sleep(0)  # lets run() take up what waits
            if self._under_way:
                await asyncio.wait(set(self._under_way))

    async def _deliver(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        path = f"{delivery.event}.{delivery.action}" if delivery.action else delivery.event
        fault = self._world.faults.take("HOOK", path)
        if fault and fault.delay:
            await asyncio.sleep(fault.delay)
        if fault and fault.drop:
            delivery.delivered_at = now()
            delivery.status = "failed to connect to host"
            return
        await self._send(client, delivery)
        if fault and fault.duplicate:
            again = redeliver(self._world, delivery)
            again.redelivery = False

    async def _send(self, client: httpx.AsyncClient, delivery: Delivery) -> None:
        body = json.dumps(delivery.payload, ensure_ascii=False).encode(errors="surrogatepass")
        delivery.url = delivery.app.hook_url
        delivery.request_headers = headers(delivery, body)
        loop = asyncio.get_running_loop()
        began = loop.time()
        if len(body) > LARGEST:
            delivery.status = "payload too large"
            delivery.delivered_at = now()
            return
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await client.post(
                    delivery.url, content=body, headers=delivery.request_headers
                )
        except TimeoutError:
            delivery.status = "timed out"
        except (httpx.HTTPError, httpx.InvalidURL):
            delivery.status = "failed to connect to host"
        else:
            delivery.status_code = answer.status_code
            ok = answer.is_success
            delivery.status = "OK" if ok else f"Invalid HTTP Response: {answer.status_code}"
            delivery.response_headers = dict(answer.headers)
            delivery.response_body = answer.text[:10_000]
        delivery.duration = round(loop.time() - began, 2)
        delivery.delivered_at = now()
