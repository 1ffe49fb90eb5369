"""People are told when a job needs them or ended: once, of what is true now, and nobody else."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from push_service import Browser, Mood, PushService, push_service
from queue_world import ANN, PLAN, REPOSITORY, approved, eventually, planned, start
from structlog.testing import capture_logs
from structlog.typing import EventDict

from agent.plan import Plan, Question
from jobs.commands import Actor, Comment, Issue, Repository, StartJob
from jobs.events import Allowed, Approved, CancelAsked, Finished, Outcome, Planned, PullOpened
from jobs.outward import Outward
from jobs.queue.store import Store, job_id_of
from jobs.queue.subscriptions import MOST, Subscriptions
from jobs.tell import DAY, Later, Teller, Topic, Ways
from jobs.webpush import Browser as Sealed
from jobs.webpush import Vapid

BEN = Actor(8, "ben")
LEASE = 2.0  # short, so that what failed is tried again soon
VAPID = Vapid("the secret of these tests")
TOKEN = "tk_the_token_of_the_topic"


class Office:
    """A teller at work, a push service, and an eye on the outbox."""

    def __init__(self, store: Store, pushes: PushService) -> None:
        self.store = store
        self.pushes = pushes
        self.subscriptions = Subscriptions(store)
        self.blind: set[int] = set()  # who may not see the repository any more
        self.unknown = 0  # how often GitHub does not say

    def ways(self, **more: Any) -> Ways:
        topic = Topic.at(f"{self.pushes.url}/my-topic", TOKEN)
        settings: dict[str, Any] = {
            "outward": Outward([self.pushes.place]),
            "vapid": VAPID,
            "topic": topic,
            "public_url": "https://bot.example.org/",
        }
        return Ways(**(settings | more))

    async def sees(self, repository: Repository, actor: Actor) -> bool:
        assert repository == REPOSITORY
        if self.unknown:
            self.unknown -= 1
            raise Later("GitHub is away.")
        return actor.id not in self.blind

    @asynccontextmanager
    async def telling(
        self, clock: Callable[[], float] = time.time, lease: float = LEASE, **ways: Any
    ) -> AsyncIterator[None]:
        found = self.ways(**ways)
        teller = Teller(self.store, found, self.sees, lease_seconds=lease, clock=clock)
        task = asyncio.create_task(teller.run())
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await found.outward.close()

    async def browser(self, name: str, person: Actor = ANN, session: str = "") -> Browser:
        browser = self.pushes.browser(name, VAPID.public)
        given = browser.subscription()
        sealed = Sealed(browser.endpoint, given["keys"]["p256dh"], given["keys"]["auth"])
        await self.subscriptions.add(person.id, sealed, session)
        return browser

    async def job(self, key: str = "one", comment: Comment | None = None) -> str:
        command = start(key, None)
        if comment is not None:
            command = StartJob(
                key, ANN, REPOSITORY, "fix it", False, Issue(1, "The clock"), comment
            )
        await self.store.submit(command, time.time())
        return job_id_of(key)

    async def ends(self, job_id: str, outcome: Outcome = "succeeded", why: str = "Done.") -> None:
        await self.store.append(job_id, [Finished(time.time(), outcome, why)])

    async def at_rest(self) -> None:
        """Nobody is to be told of anything any more."""

        async def empty() -> bool:
            return not await self.store.redis.exists("vc:outbox")

        await eventually(empty)


@pytest.fixture
async def office(store: Store) -> AsyncIterator[Office]:
    async with push_service() as pushes:
        yield Office(store, pushes)


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        yield lines


async def test_a_plan_is_told_on_each_device_with_project_and_link(office: Office) -> None:
    phone, desk = await office.browser("phone"), await office.browser("desk")
    others = await office.browser("others", BEN)
    async with office.telling():
        job_id = await office.job()
        await office.store.append(job_id, [planned(waits=True)])
        for browser in (phone, desk):
            pushed = await browser.one()
            assert pushed.said["web_push"] == 8030
            shown = pushed.said["notification"]
            assert shown["title"] == "Plan ready: Fix the clock — ann/clock"
            assert shown["body"] == "It is late."
            assert shown["navigate"] == f"https://bot.example.org/app/job/{job_id}"
            assert shown["tag"] == pushed.headers["topic"] == job_id
            assert shown["data"]["kind"] == "plan"
            assert pushed.headers["urgency"] == "high"
        await office.at_rest()
    assert [phone.asked, desk.asked, others.asked] == [1, 1, 0]
    assert [said["title"] for said in office.pushes.told] == [shown["title"]]


async def test_a_question_is_told_as_such(office: Office) -> None:
    phone = await office.browser("phone")
    plan = Plan(PLAN.title, "s", PLAN.steps, questions=(Question("Which\nclock‮?"),))
    async with office.telling():
        job_id = await office.job()
        await office.store.append(job_id, [Planned(time.time(), plan, "d" * 64, waits=True)])
        shown = (await phone.one()).said["notification"]
    assert shown["title"] == "Question: Which clock? — ann/clock"
    assert shown["body"] == "Fix the clock: the plan waits for your answer."


@pytest.mark.parametrize(
    ("outcome", "title"),
    [("succeeded", "Finished"), ("failed", "Failed"), ("stopped", "Stopped")],
)
async def test_the_end_is_told_to_whoever_asked_and_whoever_accepted(
    office: Office, outcome: Outcome, title: str
) -> None:
    ann, ben = await office.browser("ann"), await office.browser("ben", BEN)
    digest = planned(waits=True).digest
    async with office.telling():
        job_id = await office.job()
        await office.store.append(
            job_id,
            [
                planned(waits=True),
                Approved(time.time(), BEN, digest),
                PullOpened(time.time(), 5, "https://github.example/ann/clock/pull/5"),
                Finished(time.time(), outcome, "That was `it`."),
            ],
        )
        for browser in (ann, ben):
            shown = (await browser.one()).said["notification"]
            assert shown["title"] == f"{title}: Fix the clock — ann/clock"
            assert shown["body"] == "Pull request #5. That was `it`."
        await office.at_rest()
    assert (ann.asked, ben.asked) == (1, 1)  # and nothing of the plan, which waits no more


async def test_whoever_stopped_it_knows_already(office: Office) -> None:
    ann, ben = await office.browser("ann"), await office.browser("ben", BEN)
    async with office.telling():
        for key, by in (("by herself", ANN), ("by him", BEN)):
            job_id = await office.job(key)
            stopped = Finished(time.time(), "cancelled", f"Stopped by {by.login}.")
            await office.store.append(job_id, [CancelAsked(time.time(), by), stopped])
        await ann.one()
        await office.at_rest()
    assert [pushed.said["notification"]["body"] for pushed in ann.got] == ["Stopped by ben."]
    assert ben.asked == 0
    assert office.pushes.told == []


async def test_a_stranger_in_public_calls_nobody(office: Office) -> None:
    phone = await office.browser("phone")
    async with office.telling():
        comment = Comment(1001, "https://github.example/ann/clock/issues/1#issuecomment-1001")
        refused = await office.job("a stranger's", comment)
        await office.ends(refused, "failed", "Sorry: only people with write permission …")
        await office.at_rest()
        assert (phone.asked, office.pushes.told) == (0, [])

        allowed = await office.job("a friend's", comment)
        await office.store.append(allowed, [Allowed(time.time(), "write")])
        await office.ends(allowed, "failed")
        await phone.one()
        await office.at_rest()
    assert phone.asked == len(office.pushes.told) == 1


async def test_who_cannot_see_the_repository_any_more_is_not_told(office: Office) -> None:
    ann, ben = await office.browser("ann"), await office.browser("ben", BEN)
    office.blind, office.unknown = {ANN.id}, 1
    async with office.telling():
        job_id = await office.job()
        await office.store.append(job_id, [planned(waits=True)])
        await office.store.append(job_id, [Approved(time.time(), BEN, "d" * 64)])
        await office.ends(job_id)
        await ben.one()
        await office.at_rest()
    assert (ann.asked, ben.asked) == (0, 1)


async def test_signed_out_is_not_told(office: Office) -> None:
    await office.store.redis.hset("vc:session:s1", "person", "7")  # type: ignore[misc]  # redis-py
    out, stays = await office.browser("out", session="s1"), await office.browser("stays")
    async with office.telling():
        await office.ends(await office.job("while in"))
        await out.one()
        await stays.one()
        await office.at_rest()
        await office.store.redis.delete("vc:session:s1")
        await office.ends(await office.job("when out"))
        await stays.one(2)
        await office.at_rest()
    assert (out.asked, stays.asked) == (1, 2)
    assert [each.browser.endpoint for each in await office.subscriptions.of(ANN.id)] == [
        stays.endpoint
    ]


async def test_a_device_is_told_for_its_newest_person_only(office: Office) -> None:
    await office.browser("shared", ANN)
    shared = await office.browser("shared", BEN)
    async with office.telling():
        await office.ends(await office.job())
        await office.at_rest()
    assert shared.asked == 0
    assert await office.subscriptions.of(ANN.id) == []
    assert len(await office.subscriptions.of(BEN.id)) == 1


async def test_the_oldest_device_makes_room(office: Office) -> None:
    for number in range(MOST + 2):
        await office.browser(f"b{number}")
    kept = await office.subscriptions.of(ANN.id)
    assert [each.browser.endpoint.rpartition("/")[2] for each in kept] == [
        f"b{number}" for number in range(2, MOST + 2)
    ]


@pytest.mark.parametrize(
    "mood",
    [
        Mood(500),
        Mood(503),
        Mood(429, {"Retry-After": "1"}),
        Mood(429),
        Mood(500, {"Retry-After": "soon"}),
    ],
)
async def test_what_was_not_taken_is_sent_again(office: Office, mood: Mood) -> None:
    phone = await office.browser("phone")
    phone.moods += [mood, mood]
    async with office.telling():
        await office.ends(await office.job())
        await phone.one()
        await office.at_rest()
    assert (phone.asked, len(phone.got)) == (3, 1)


async def test_retry_after_is_waited_for(office: Office) -> None:
    phone = await office.browser("phone")
    phone.moods.append(Mood(429, {"Retry-After": "3600"}))
    async with office.telling():
        await office.ends(await office.job())
        await office.pushes.until(lambda: phone.asked)

        async def put_off() -> bool:
            due = await office.store.redis.zrange("vc:outbox", 0, -1, withscores=True)
            return any(at / 1000 - time.time() > 3_500 for _, at in due)

        await eventually(put_off)
    assert phone.got == []


async def test_a_plan_that_was_accepted_meanwhile_is_told_no_more(office: Office) -> None:
    phone = await office.browser("phone")
    phone.moods += [Mood(503)]
    async with office.telling():
        job_id = await office.job()
        await office.store.append(job_id, [planned(waits=True)])
        await office.pushes.until(lambda: phone.asked)
        await office.store.append(job_id, [approved()])
        await office.at_rest()
    assert phone.got == []


@pytest.mark.parametrize("status", [404, 410])
async def test_a_browser_that_is_gone_is_forgotten(office: Office, status: int) -> None:
    gone, stays = await office.browser("gone"), await office.browser("stays")
    gone.moods.append(Mood(status))
    async with office.telling():
        await office.ends(await office.job("first"))
        await stays.one()
        await office.at_rest()
        await office.ends(await office.job("second"))
        await stays.one(2)
        await office.at_rest()
    assert (gone.asked, gone.got) == (1, [])
    assert [each.browser.endpoint for each in await office.subscriptions.of(ANN.id)] == [
        stays.endpoint
    ]


async def test_what_is_refused_is_not_sent_again(office: Office, log: list[EventDict]) -> None:
    phone = await office.browser("phone")
    phone.moods.append(Mood(403))
    async with office.telling():
        await office.ends(await office.job())
        await office.at_rest()
    assert phone.asked == 1
    assert [line["status"] for line in log if line["event"] == "push_refused"] == [403]


async def test_after_a_day_it_is_given_up_with_a_line(office: Office, log: list[EventDict]) -> None:
    phone = await office.browser("phone")
    job_id = await office.job()
    await office.ends(job_id)
    async with office.telling(clock=lambda: time.time() + DAY + 1):
        await office.at_rest()
    assert (phone.asked, office.pushes.told) == (0, [])
    assert [line["job"] for line in log if line["event"] == "notification_given_up"] == [job_id]


async def test_several_workers_tell_it_once(office: Office) -> None:
    browsers = [await office.browser(f"b{number}") for number in range(5)]
    async with office.telling(lease=10), office.telling(lease=10), office.telling(lease=10):
        jobs = [await office.job(str(number)) for number in range(10)]
        await asyncio.gather(*(office.ends(job_id) for job_id in jobs))
        for browser in browsers:
            await browser.one(10)
        await office.at_rest()
    assert [browser.asked for browser in browsers] == [10] * 5
    assert len(office.pushes.told) == 10


async def test_a_slow_push_service_holds_up_nobody(office: Office) -> None:
    phone = await office.browser("phone")
    with_patience = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await with_patience.wait()
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1")
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    keys = phone.subscription()["keys"]
    slow = Sealed(f"http://{place}/push/1", keys["p256dh"], keys["auth"])
    await office.subscriptions.add(ANN.id, slow)
    async with office.telling(outward=Outward([office.pushes.place, place])):
        await office.ends(await office.job())
        await phone.one()
        await office.ends(await office.job("another"))
        await phone.one(2)
    with_patience.set()
    server.close()
    await server.wait_closed()


async def test_no_address_inside_is_called(office: Office, log: list[EventDict]) -> None:
    """Its name resolved to somewhere else when it was subscribed."""
    phone = office.pushes.browser("phone", VAPID.public)
    keys = phone.subscription()["keys"]
    for address in (phone.endpoint, "https://localhost/push/phone"):
        await office.subscriptions.add(ANN.id, Sealed(address, keys["p256dh"], keys["auth"]))
    async with office.telling(outward=Outward()):
        await office.ends(await office.job())
        await office.at_rest()
    assert phone.asked == 0
    assert await office.subscriptions.of(ANN.id) == []


async def test_it_is_told_where_redis_is_full(office: Office) -> None:
    """Above all then: the end of a job gets through, and so does the word of it."""
    phone = await office.browser("phone")
    phone.moods.append(Mood(503))
    job_id = await office.job()
    before = (await office.store.redis.config_get("maxmemory"))["maxmemory"]
    async with office.telling():
        await office.store.redis.config_set("maxmemory", 1)
        try:
            await office.ends(job_id)
            await phone.one()
            await office.at_rest()
        finally:
            await office.store.redis.config_set("maxmemory", before)
    assert len(office.pushes.told) == 1


async def test_ntfy_says_it_in_json(office: Office) -> None:
    office.pushes.ntfy_moods += [Mood(500), Mood(429, {"Retry-After": "1"})]
    async with office.telling(vapid=None):
        job_id = await office.job()
        event_id = await office.store.append(job_id, [planned(waits=True)])
        await office.pushes.until(lambda: office.pushes.told)
        await office.at_rest()
    assert office.pushes.told == [
        {
            "topic": "my-topic",
            "title": "Plan ready: Fix the clock — ann/clock",
            "message": "It is late.",
            "tags": ["clipboard"],
            "click": f"https://bot.example.org/app/job/{job_id}",
            "sequence_id": f"{job_id}-{event_id}",
        }
    ]
    assert office.pushes.tokens == [f"Bearer {TOKEN}"]


async def test_texts_are_bounded_and_hold_no_secret(office: Office) -> None:
    phone = await office.browser("phone")
    why = "token ghp_" + "a" * 36 + " " + "😀" * 5_000
    async with office.telling():
        await office.ends(await office.job(), "failed", why)
        shown = (await phone.one()).said["notification"]
    assert "ghp_" not in shown["body"]
    assert len(shown["body"]) <= 300


async def test_no_address_key_or_token_is_in_the_log(office: Office, log: list[EventDict]) -> None:
    moods = [Mood(500), Mood(403), Mood(410), Mood(201)]
    browsers = [await office.browser(f"browser-{number}") for number in range(len(moods))]
    for browser, mood in zip(browsers, moods, strict=True):
        browser.moods.append(mood)
    async with office.telling():
        await office.ends(await office.job())
        await browsers[0].one()
        await office.at_rest()
    lines = str(log)
    assert "told" in lines
    secrets = [TOKEN, "my-topic", "eyJ", *(str(browser.subscription()) for browser in browsers)]
    secrets += [
        part for b in browsers for part in (b.endpoint, b.name, *b.subscription()["keys"].values())
    ]
    assert [secret for secret in secrets if secret in lines] == []


async def test_what_broke_is_left_for_later_and_ends_nothing(
    office: Office, log: list[EventDict]
) -> None:
    phone = await office.browser("phone")
    await office.store.redis.zadd(
        "vc:outbox", {"j0|1-0|": 0, f"j1|{int(time.time() * 1000)}-0|": 0}
    )
    await office.store.redis.xadd("vc:events:j1", {"e": '{"type":"of tomorrow"}'})
    async with office.telling():
        await office.ends(await office.job())
        await phone.one()
    assert phone.asked == 1


@pytest.mark.parametrize(
    "url",
    [
        "ntfy.sh/topic",
        "https://ntfy.sh",
        "https://ntfy.sh/",
        "https://ntfy.sh/a?b=c",
        "https:///x",
        "",
    ],
)
def test_what_is_no_topic_is_said(url: str) -> None:
    with pytest.raises(ValueError, match=r"such as https://ntfy\.sh/my-topic"):
        Topic.at(url)


def test_a_topic_may_lie_below_a_path() -> None:
    topic = Topic.at("https://example.org/ntfy/jobs/", TOKEN)
    assert (topic.server, topic.name) == ("https://example.org/ntfy/", "jobs")
    assert TOKEN not in repr(topic) and "jobs" not in repr(topic)
