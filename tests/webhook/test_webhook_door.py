"""POST /webhook over a real socket, with the store that it writes to."""

import asyncio
import json
import socket
from dataclasses import replace
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from webhook_front import SECRET, Front, commented, front_of

from jobs.commands import Explain
from jobs.queue.store import Store, connect
from webhook.app import BIGGEST_DELIVERY, FrontDoor
from webhook.signature import sign


async def test_a_command_becomes_a_job(front: Front) -> None:
    answer = await front.deliver(commented(), guid="g-1")
    assert (answer.status_code, answer.json()) == (202, {})
    assert (await front.settled("g-1")).startswith("start_job j")
    (job,) = await front.store.jobs()
    assert job.state == "queued"
    assert job.command.text == "fix the flaky retry"
    assert job.command.actor.login == "maya"
    assert len(await front.store.unsettled()) == 1


async def test_what_is_no_command_is_settled_with_a_reason(front: Front) -> None:
    for guid, payload, event, reason in [
        ("p", {"zen": "Keep it logically awesome."}, "ping", "nothing follows"),
        ("n", b"not json at all", "issue_comment", "not JSON"),
        ("w", [1, 2], "issue_comment", "no object"),
        ("u", {"action": "created"}, "an_event_of_tomorrow", "nothing follows"),
        ("c", commented("thanks!"), "issue_comment", "no /vibecode command"),
    ]:
        assert (await front.deliver(payload, event, guid=guid)).status_code == 202
        assert reason in await front.settled(guid)
    assert await front.store.jobs() == []


async def test_the_same_delivery_counts_once(front: Front) -> None:
    await front.deliver(commented(), guid="same")
    await front.settled("same")
    answer = await front.deliver(commented(), guid="same")
    assert (answer.status_code, answer.json()) == (202, {"duplicate": True})
    assert len(await front.store.unsettled()) == 1


async def test_a_replay_under_a_fresh_guid_makes_no_second_command(front: Front) -> None:
    guids = [str(uuid4()) for _ in range(20)]
    await asyncio.gather(*(front.deliver(commented(), guid=guid) for guid in guids))
    verdicts = [await front.settled(guid) for guid in guids]
    assert sorted({verdict.split()[0] for verdict in verdicts}) == ["repeated", "start_job"]
    assert len(await front.store.unsettled()) == len(await front.store.jobs()) == 1


async def test_a_second_wish_for_a_busy_issue_is_kept_for_the_worker(front: Front) -> None:
    await front.deliver(commented())
    await front.deliver(commented("/vibecode do more", comment={"id": 1002}), guid="second")
    await front.settled("second")
    assert len(await front.store.jobs()) == 1
    assert len(await front.store.unsettled()) == 2


async def test_a_wrong_signature_leaves_no_trace(front: Front) -> None:
    body = json.dumps(commented()).encode()
    flipped = bytearray(body)
    flipped[len(body) // 2] ^= 1
    signature = sign(SECRET, body).decode()
    for headers in (
        {"X-Hub-Signature-256": sign("another secret", body).decode()},
        {"X-Hub-Signature-256": signature[:-1]},
        {"X-Hub-Signature-256": signature.removeprefix("sha256=")},
        {"X-Hub-Signature-256": ""},
    ):
        answer = await front.deliver(body, headers=headers, guid="forged")
        assert answer.status_code == 401
        assert "GITHUB_WEBHOOK_SECRET" in answer.json()["detail"]
    answer = await front.deliver(bytes(flipped), headers={"X-Hub-Signature-256": signature})
    assert answer.status_code == 401
    assert await front.store.redis.keys("*") == []


async def test_a_signature_outside_ascii_is_refused(front: Front) -> None:
    answer = await front.http.post(
        "/webhook",
        content=b"{}",
        headers=[(b"X-Hub-Signature-256", b"sha256=\xff\xfe"), (b"X-GitHub-Event", b"ping")],
    )
    assert answer.status_code == 401


async def test_both_secrets_count_while_one_is_rotated(door: FrontDoor, store: Store) -> None:
    async with front_of(replace(door, webhook_secrets=("new", SECRET)), store) as front:
        assert (await front.deliver({}, "ping", secret="new")).status_code == 202
        assert (await front.deliver({}, "ping", secret=SECRET)).status_code == 202
        assert (await front.deliver({}, "ping", secret="older")).status_code == 401


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"X-GitHub-Event": ""}, "X-GitHub-Event"),
        ({"X-GitHub-Delivery": ""}, "X-GitHub-Delivery"),
        ({"X-GitHub-Delivery": "../../etc"}, "X-GitHub-Delivery"),
        ({"X-GitHub-Delivery": "x" * 101}, "X-GitHub-Delivery"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "application/json"),
    ],
)
async def test_headers_must_be_githubs(front: Front, headers: dict[str, str], named: str) -> None:
    answer = await front.deliver(commented(), headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.json()["detail"]


async def test_the_largest_delivery_fits_and_no_more(front: Front) -> None:
    body = json.dumps(commented("/vibecode fix it\n" + "x" * 300)).encode()
    largest = body + b" " * (BIGGEST_DELIVERY - len(body))
    assert (await front.deliver(largest, guid="large")).status_code == 202
    assert (await front.settled("large")).startswith("start_job")
    assert (await front.deliver(largest + b" ")).status_code == 413


async def test_an_endless_body_is_cut_short(front: Front) -> None:
    """Chunked, so that no length is announced; the answer comes before the end does."""
    address = urlsplit(front.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=0\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    for _ in range(26):
        writer.write(chunk)
        await writer.drain()
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_too_much_at_once_is_put_off(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.app._ARRIVING_BYTES", 100_000)
    answer = await front.deliver(b" " * 200_000)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert (await front.deliver(commented())).status_code == 202  # nothing of it stayed


async def test_a_comment_of_200_kb_is_answered_with_a_sentence(front: Front) -> None:
    await front.deliver(commented("/vibecode " + "very " * 40_000 + "long"), guid="long")
    assert (await front.settled("long")).startswith("explain")
    (id_,) = await front.store.unsettled()
    command = await front.store.command(id_)
    assert isinstance(command, Explain)
    assert "200,004 characters" in command.problem


async def test_a_store_that_is_away_is_said(door: FrontDoor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    away = Store(connect(f"redis://127.0.0.1:{free}", retries=1))
    async with front_of(door, away) as front:
        answer = await front.deliver(commented())
        assert answer.status_code == 503
        assert "Redis" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "60"
        assert (await front.http.get("/readyz")).status_code == 503
        assert (await front.http.get("/healthz")).status_code == 200
        assert "vibecoder_redis_up 0.0" in (await front.http.get("/metrics")).text
    await away.close()


async def test_a_delivery_that_nobody_read_waits_for_the_sweep(
    door: FrontDoor, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.app._UNREAD_BYTES", 0)  # as if too many came at once
    async with front_of(door, store) as front:
        assert (await front.deliver(commented(), guid="left")).status_code == 202
        (kept,) = await store.unparsed(older_than=0)
    assert kept.guid == "left"
    assert json.loads(kept.body) == commented()
    assert await store.jobs() == []


async def test_secrets_stay_out_of_what_is_printed(door: FrontDoor) -> None:
    assert SECRET not in repr(door)


async def test_metrics_count_outcomes(front: Front) -> None:
    await front.deliver(commented(), guid="m")
    await front.settled("m")
    await front.deliver(commented(), secret="wrong")
    page = (await front.http.get("/metrics")).text
    assert 'vibecoder_deliveries_total{outcome="refused"} 1.0' in page


async def test_ready_alive_and_lost(front: Front) -> None:
    assert (await front.http.get("/readyz")).json()["ready"] is True
    assert (await front.http.get("/healthz")).text == "alive\n"
    for method, path, status in [("GET", "/nowhere", 404), ("GET", "/webhook", 405)]:
        answer = await front.http.request(method, path)
        assert answer.status_code == status
        assert answer.json()["detail"].endswith(".")
