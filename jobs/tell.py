"""Tells people what their jobs need of them: takes from the outbox, sends, tries again.

Nothing here holds up or fails a job. What a push service does not take is tried again, later and
later, for a day.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

import httpx
import structlog

from jobs.commands import Actor, Repository
from jobs.forge.errors import ForgeError, GitHubUnreachable, NotGranted
from jobs.forge.github import GitHub
from jobs.notify import Notice, for_browser, for_ntfy, notice
from jobs.outward import Answer, NoAnswer, NotOutside, Outward
from jobs.queue.errors import QueueError
from jobs.queue.outbox import Entry, Outbox
from jobs.queue.store import Store
from jobs.queue.subscriptions import Subscription, Subscriptions
from jobs.webpush import Vapid, seal

log = structlog.get_logger()

DAY = 86_400.0  # seconds after which nobody wants to hear of it any more
_LONGEST_PAUSE = 3_600.0  # seconds between two tries; before that, as long as it has been tried
_AT_ONCE = 50
_LAST_MOMENTS = 0.5  # seconds for what is under way as the worker stops
_NTFY = "ntfy"  # whom: the operator's topic; a subscription's id is hex
_TOPIC = re.compile(r"(https?://[^/?#\s]+/(?:[^?#\s]+/)?)([^/?#\s]+)/?")

Sees = Callable[[Repository, Actor], Awaitable[bool]]


class Later(Exception):
    """It did not work now. `seconds`: how long the other side wants to be left alone."""

    def __init__(self, why: str, seconds: float = 0.0) -> None:
        super().__init__(why)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Topic:
    """The operator's topic at an ntfy server."""

    server: str  # where JSON is posted to
    name: str = field(repr=False)  # whoever knows it can read along
    token: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str, token: str = "") -> "Topic":
        """From the topic's own address, such as https://ntfy.sh/my-topic. Raises ValueError."""
        found = _TOPIC.fullmatch(url)
        if found is None:
            raise ValueError("it must be a topic's address, such as https://ntfy.sh/my-topic")
        return cls(found[1], found[2], token)


@dataclass(frozen=True, slots=True)
class Ways:
    """By which people are told."""

    outward: Outward
    vapid: Vapid | None  # None: no browsers
    topic: Topic | None
    public_url: str | None


class Teller:
    """Tells what is in the outbox, for as long as it runs."""

    def __init__(
        self,
        store: Store,
        ways: Ways,
        sees: Sees,
        *,
        lease_seconds: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`sees`: whether a person may see the repository now; raises Later where unknown.

        `lease_seconds`: three of them after a teller was killed, others tell what it had in hand.
        """
        self._store = store
        self._outbox = Outbox(store)
        self._subscriptions = Subscriptions(store)
        self._ways = ways
        self._sees = sees
        self._clock = clock
        self._lent, self._patience = 3 * lease_seconds, 2 * lease_seconds
        self._pause = 0.3 * lease_seconds
        self._http = httpx.AsyncClient(timeout=10)  # to the operator's own server

    async def run(self) -> None:
        """Until cancelled; once."""
        async with self._http:
            busy: set[asyncio.Task[None]] = set()
            try:
                while True:
                    if len(busy) == _AT_ONCE:
                        await asyncio.wait(busy, return_when=asyncio.FIRST_COMPLETED)
                    busy = {task for task in busy if not task.done()}
                    try:
                        for entry in await self._outbox.take(_AT_ONCE - len(busy), self._lent):
                            busy.add(asyncio.create_task(self._carry(entry)))
                        if len(busy) < _AT_ONCE:
                            await self._outbox.wait(self._pause)
                    except QueueError as error:
                        log.warning("outbox_unreadable", error=str(error))
                        await asyncio.sleep(self._pause)
                    except Exception:  # nothing here may end the worker
                        log.exception("outbox_unreadable")
                        await asyncio.sleep(self._pause)
            finally:
                if busy:  # what was taken there but not crossed off here would be told twice
                    await asyncio.wait(busy, timeout=_LAST_MOMENTS)
                for task in busy:
                    task.cancel()
                await asyncio.gather(*busy, return_exceptions=True)

    async def _carry(self, entry: Entry) -> None:
        age = max(0.0, self._clock() - entry.at)
        pause = min(max(age, self._pause), _LONGEST_PAUSE)
        structlog.contextvars.bind_contextvars(job=entry.job_id, whom=entry.whom)
        try:
            if age > DAY:
                log.warning("notification_given_up")
            else:
                await self._tell(entry, age)
            await self._outbox.done(entry)
        except QueueError as error:  # it is lent, and so due again
            log.warning("notification_unsettled", error=str(error))
        except Later as error:
            wait = min(max(pause, error.seconds), DAY)
            log.info("notification_put_off", why=str(error), seconds=round(wait))
            await self._put_off(entry, wait)
        except Exception:  # nothing here may end the worker
            log.exception("notification_failed")
            await self._put_off(entry, pause)

    async def _put_off(self, entry: Entry, seconds: float) -> None:
        with suppress(QueueError):  # it is due again anyway
            await self._outbox.put_off(entry, seconds)

    async def _tell(self, entry: Entry, age: float) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._tell_now(entry, age)
        except TimeoutError:
            raise Later("It took too long.") from None

    async def _tell_now(self, entry: Entry, age: float) -> None:
        history = await self._store.history(entry.job_id)
        found = notice(entry.job_id, history, entry.event_id) if history else None
        if found is None:
            return
        if not entry.whom:
            await self._outbox.spread(entry, await self._whom(found))
        elif entry.whom == _NTFY:
            await self._publish(found)
        else:
            subscription = await self._subscriptions.get(entry.whom)
            # Somebody else may have signed in on that device since.
            if subscription and subscription.person in {actor.id for actor in found.people}:
                await self._push(found, subscription, age)

    async def _whom(self, found: Notice) -> list[str]:
        whom = [_NTFY] if self._ways.topic is not None and found.public else []
        if self._ways.vapid is None:
            return whom
        for actor in found.people:
            subscriptions = await self._subscriptions.of(actor.id)
            if not subscriptions:
                continue
            if await self._sees(found.job.repository, actor):
                whom += [subscription.id for subscription in subscriptions]
            else:
                log.info("not_told", person=actor.id)
        return whom

    async def _push(self, found: Notice, to: Subscription, age: float) -> None:
        """One push message. Source: https://www.rfc-editor.org/rfc/rfc8030"""
        vapid = self._ways.vapid
        if vapid is None:
            return
        endpoint = to.browser.endpoint
        headers = {
            "Authorization": vapid.authorization(endpoint, self._clock()),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(int(DAY - age)),
            "Topic": found.job.id,  # what waits there of the same job is replaced
            "Urgency": "high",
        }
        body = seal(for_browser(found, self._ways.public_url), to.browser)
        try:
            answer = await self._ways.outward.post(endpoint, headers, body)
        except NoAnswer as error:
            raise Later(f"The push service did not answer ({error}).") from error
        except NotOutside as error:
            await self._drop(to, f"its address is none that may be called: {error}")
            return
        if answer.status in {404, 410}:
            await self._drop(to, "the push service no longer knows it")
            return
        self._require_time_for_us("push service", answer)
        if answer.status >= 300:
            log.warning("push_refused", status=answer.status)
        else:
            log.info("told", kind=found.kind)

    async def _drop(self, subscription: Subscription, why: str) -> None:
        await self._subscriptions.drop(subscription.person, subscription.id)
        log.info("subscription_dropped", why=why)

    async def _publish(self, found: Notice) -> None:
        topic = self._ways.topic
        if topic is None:
            return
        headers = {"Authorization": f"Bearer {topic.token}"} if topic.token else {}
        said = for_ntfy(found, topic.name, self._ways.public_url)
        try:
            response = await self._http.post(topic.server, json=said, headers=headers)
        except httpx.TransportError as error:
            raise Later(f"The ntfy server did not answer ({type(error).__name__}).") from error
        answer = Answer(response.status_code, response.headers.get("retry-after", ""))
        self._require_time_for_us("ntfy server", answer)
        if answer.status >= 300:
            log.error("ntfy_refused", status=answer.status)
        else:
            log.info("told", kind=found.kind)

    def _require_time_for_us(self, who: str, answer: Answer) -> None:
        """Raises Later where they are busy or broken."""
        if answer.status == 429 or answer.status >= 500:
            wait = _wait(answer.retry_after, self._clock())
            raise Later(f"The {who} answered {answer.status}.", wait)


async def sees(github: GitHub, repository: Repository, actor: Actor) -> bool:
    """Whether the person may see the repository now. Raises Later where GitHub does not say."""
    try:
        try:
            forge = await github.repository(*repository.key)
        except NotGranted:
            forge = await github.voice(*repository.key)
        return await forge.permission(actor.login) != "none"
    except GitHubUnreachable as error:
        raise Later(str(error)) from error
    except ForgeError as error:  # suspended or uninstalled: nobody sees it through us any more
        log.info("repository_unseen", repository=repository.id, why=str(error))
        return False


def _wait(retry_after: str, now: float) -> float:
    """The seconds of a Retry-After, which may be a date; 0 where there is none."""
    if retry_after.isascii() and retry_after.isdecimal():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return 0.0
