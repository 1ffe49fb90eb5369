"""Browsers that want to be told of their person's jobs, by Web Push."""

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from jobs.outward import NotOutside, Outward
from jobs.queue.subscriptions import Subscriptions, id_of
from jobs.webpush import BadKeys, Browser, Vapid, check
from webhook import shapes
from webhook.caller import Callers
from webhook.openapi import Operation
from webhook.problems import Unprocessable
from webhook.wire import body, told


class Push:
    """A person's subscriptions. What is sent to them, and when: jobs/tell.py."""

    def __init__(
        self, subscriptions: Subscriptions, vapid: Vapid, outward: Outward, callers: Callers
    ) -> None:
        self._subscriptions = subscriptions
        self._vapid = vapid
        self._outward = outward
        self._callers = callers

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET",
                "/api/push/key",
                self.push_key,
                "The key that a browser subscribes with.",
                tells=TypeAdapter(shapes.PushKey),
            ),
            Operation(
                "POST",
                "/api/push/subscriptions",
                self.subscribe,
                "Tell this browser when a job of yours needs you or ended. It lasts as long as the "
                "session, and 30 days unless it is said again; of ten the oldest makes room.",
                asks=shapes.PushSubscription,
                tells=None,
            ),
            Operation(
                "DELETE",
                "/api/push/subscriptions",
                self.unsubscribe,
                "Tell this browser no more; done again it does no harm.",
                asks=shapes.EndedSubscription,
                tells=None,
            ),
        )

    async def push_key(self, request: Request) -> Response:
        await self._callers.of(request)
        return told(shapes.PushKey(key=self._vapid.public))

    async def subscribe(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        asked = await body(request, shapes.PushSubscription)
        browser = Browser(asked.endpoint, asked.keys.p256dh, asked.keys.auth)
        try:
            check(browser)
            await self._outward.check(browser.endpoint)
        except BadKeys as error:
            raise Unprocessable(f"keys: {error}.") from None
        except NotOutside as error:
            raise Unprocessable(
                f"endpoint: messages cannot be sent to this push service, because {error}."
            ) from None
        await self._subscriptions.add(caller.actor.id, browser, caller.session)
        return Response(status_code=204)

    async def unsubscribe(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        asked = await body(request, shapes.EndedSubscription)
        await self._subscriptions.drop(caller.actor.id, id_of(asked.endpoint))
        return Response(status_code=204)
