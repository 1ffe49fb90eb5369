"""The protocol itself, spoken by hand: version 1, wrong input, and that every error is JSON."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from e2b import Sandbox
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sandbox_hand import API_KEY, Server


@pytest.fixture(scope="module")
def api(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"X-API-KEY": API_KEY}) as client:
        yield client


@pytest.fixture(scope="module")
def envd(server: Server, box: Sandbox) -> Iterator[httpx.Client]:
    headers = {
        "E2b-Sandbox-Id": box.sandbox_id,
        "E2b-Sandbox-Port": "49983",
        "X-Access-Token": str(box._envd_access_token),
    }
    with httpx.Client(base_url=server.url, headers=headers) as client:
        yield client


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["code"] == status
    assert body["message"]
    return str(body["message"])


def frame(message: Any, flags: int = 0) -> bytes:
    data = message if isinstance(message, bytes) else json.dumps(message).encode()
    return struct.pack(">BI", flags, len(data)) + data


def frames(data: bytes) -> list[tuple[int, Any]]:
    found = []
    while data:
        flags, length = struct.unpack_from(">BI", data)
        found.append((flags, json.loads(data[5 : 5 + length])))
        data = data[5 + length :]
    return found


def stream(
    envd: httpx.Client, method: str, content: bytes, **headers: str
) -> list[tuple[int, Any]]:
    answer = envd.post(
        method, content=content, headers={"Content-Type": "application/connect+json", **headers}
    )
    assert answer.status_code == 200
    return frames(answer.content)


def test_version_1(api: httpx.Client) -> None:
    made = api.post("/sandboxes", json={"templateID": "base", "timeout": 60, "secure": True})
    assert made.status_code == 201
    name = made.json()["sandboxID"]
    assert made.json()["envdAccessToken"]
    assert name in [one["sandboxID"] for one in api.get("/sandboxes").json()]
    assert api.post(f"/sandboxes/{name}/refreshes", json={"duration": 100}).status_code == 204
    assert api.post(f"/sandboxes/{name}/connect", json={"timeout": 10}).status_code == 200
    refused(api.post(f"/sandboxes/{name}/resume", json={"timeout": 10}), 409)
    assert api.post(f"/sandboxes/{name}/pause").status_code == 204
    refused(api.post(f"/sandboxes/{name}/pause"), 409)
    assert name not in [one["sandboxID"] for one in api.get("/sandboxes").json()]
    assert api.post(f"/sandboxes/{name}/resume", json={"timeout": 60}).status_code == 201
    assert api.get(f"/sandboxes/{name}").json()["state"] == "running"
    assert api.get(f"/sandboxes/{name}/logs").json() == {"logs": [], "logEntries": []}
    assert api.delete(f"/sandboxes/{name}").status_code == 204
    refused(api.delete(f"/sandboxes/{name}"), 404)


def test_wrong_input_is_told(api: httpx.Client, server: Server, box: Sandbox) -> None:
    refused(httpx.post(f"{server.url}/v2/sandboxes", json={"templateID": "base"}), 401)
    refused(httpx.get(f"{server.url}/sandboxes", headers={"X-API-KEY": "é".encode()}), 401)
    for body in (b"", b"[]", b"{", b'{"templateID": 5}', b'{"templateID": ""}', b"\xff"):
        refused(api.post("/v2/sandboxes", content=body), 400)
    for more in ({"timeout": -1}, {"timeout": 10**9}, {"metadata": {"a": 1}}, {"envVars": []}):
        refused(api.post("/v2/sandboxes", json={"templateID": "base", **more}), 400)
    refused(
        api.post("/v2/sandboxes", json={"templateID": "b"}, headers={"Idempotency-Key": "A B"}), 400
    )
    refused(api.post("/v2/sandboxes", content=b" " * (2 << 20)), 413)
    for query in ("limit=0", "limit=x", "nextToken=%21", "nextToken=YQ==", "startedAfter=soon"):
        refused(api.get(f"/v2/sandboxes?{query}"), 400)
    refused(api.get("/nowhere"), 404)
    refused(api.put("/v2/sandboxes"), 405)
    refused(api.post("/sandboxes/inothing/snapshots", json={}), 404)
    refused(api.post(f"/sandboxes/{box.sandbox_id}/snapshots", json={}), 501)


def test_health(envd: httpx.Client, server: Server) -> None:
    assert envd.get("/health").status_code == 204
    assert httpx.get(f"{server.url}/health").status_code == 204
    gone = httpx.get(f"{server.url}/health", headers={"E2b-Sandbox-Id": "igone"})
    assert "was not found" in refused(gone, 502)


def test_the_host_name_can_say_which_sandbox(server: Server, box: Sandbox) -> None:
    host = f"49983-{box.sandbox_id}.example.test"
    assert httpx.get(f"{server.url}/health", headers={"Host": host}).status_code == 204
    gone = httpx.get(f"{server.url}/health", headers={"Host": "49983-igone.example.test"})
    refused(gone, 502)


def test_raw_events_of_a_command(envd: httpx.Client) -> None:
    start = {
        "process": {"cmd": "/bin/sh", "args": ["-c", "echo hi; exit 3"], "envs": None},
        "stdin": False,
    }
    got = stream(envd, "/process.Process/Start", frame(start))
    assert "pid" in got[0][1]["event"]["start"]
    assert got[1:] == [
        (0, {"event": {"data": {"stdout": "aGkK"}}}),
        (
            0,
            {
                "event": {
                    "end": {
                        "exitCode": 3,
                        "exited": True,
                        "status": "exit status 3",
                        "error": "exit status 3",
                    }
                }
            },
        ),
        (2, {}),
    ]


def test_keepalives_and_the_deadline(envd: httpx.Client) -> None:
    start = {"process": {"cmd": "/bin/sleep", "args": ["30"]}, "stdin": False}
    got = stream(
        envd,
        "/process.Process/Start",
        frame(start),
        **{"Keepalive-Ping-Interval": "1", "Connect-Timeout-Ms": "1300"},
    )
    assert got[1] == (0, {"event": {"keepalive": {}}})
    assert got[-1][0] == 2
    assert got[-1][1]["error"]["code"] == "deadline_exceeded"


def test_errors_of_streams_are_their_last_message(envd: httpx.Client) -> None:
    fine = frame({"process": {"cmd": "/bin/true"}})
    wrong: list[tuple[bytes, str]] = [
        (frame({"process": {"cmd": "/no/such/program"}}), "invalid_argument"),
        (frame({"process": {"cmd": "/bin/true", "args": ["a\0b"]}}), "invalid_argument"),
        (frame({}), "invalid_argument"),
        (frame(b"{nonsense"), "invalid_argument"),
        (fine + fine, "unimplemented"),
        (frame({}, flags=1), "unimplemented"),
        (fine[:-1], "invalid_argument"),
        (struct.pack(">BI", 0, 0xFFFFFFFF), "resource_exhausted"),
        (b"", "invalid_argument"),
    ]
    for content, code in wrong:
        got = stream(envd, "/process.Process/Start", content)
        assert [flags for flags, _ in got] == [2]
        assert got[0][1]["error"]["code"] == code


def test_errors_of_calls(envd: httpx.Client) -> None:
    answer = envd.post("/filesystem.Filesystem/Stat", json={"path": "nothing"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = envd.post("/filesystem.Filesystem/Stat", content=b"\x0a\x01x")
    assert (answer.status_code, answer.json()["code"]) == (501, "unimplemented")
    answer = envd.post("/filesystem.Filesystem/Stat", json={"path": "a\0b"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_argument")
    answer = envd.post("/filesystem.Filesystem/Fly", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "unimplemented")
    answer = envd.post("/process.Process/SendSignal", json={"process": {"pid": 1}, "signal": 9})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    refused(envd.get("/files?path="), 400)
    refused(envd.get("/files?path=x", headers={"Authorization": "Basic bm9ib2R5Og=="}), 401)
    refused(envd.post("/files?path=/", content=b"x"), 400)
    refused(envd.post("/files", files={"other": b"x"}), 400)
    refused(envd.post("/files", content=b"x", headers={"Content-Type": "multipart/form-data"}), 400)


def test_old_field_names_are_understood(envd: httpx.Client) -> None:
    for key in ("includeEntry", "include_entry"):
        body = {"path": ".", key: True}
        made = envd.post("/filesystem.Filesystem/CreateWatcher", json=body)
        watcher = made.json()["watcherId"]
        envd.post("/files?path=seen", content=b"x")
        for name in ("watcherId", "watcher_id"):
            got = envd.post("/filesystem.Filesystem/GetWatcherEvents", json={name: watcher})
            assert got.status_code == 200
        envd.post("/filesystem.Filesystem/RemoveWatcher", json={"watcherId": watcher})


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    path=st.sampled_from(
        [
            "/process.Process/Start",
            "/process.Process/Connect",
            "/process.Process/SendInput",
            "/process.Process/StreamInput",
            "/filesystem.Filesystem/Move",
            "/filesystem.Filesystem/WatchDir",
            "/v2/sandboxes",
        ]
    ),
    kind=st.sampled_from(["application/json", "application/connect+json", "text/plain"]),
    body=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(st.sampled_from(["process", "event", "path", "pid"]), inner)
            ),
            max_leaves=6,
        ).map(lambda value: frame(value)),
    ),
)
def test_no_bytes_make_it_fail(
    api: httpx.Client, envd: httpx.Client, path: str, kind: str, body: bytes
) -> None:
    client = api if path.startswith("/v2") else envd
    answer = client.post(
        path, content=body, headers={"Content-Type": kind, "Connect-Timeout-Ms": "100"}
    )
    assert answer.status_code < 500 or answer.status_code == 501
    if answer.headers["content-type"].startswith("application/json"):
        answer.json()
    else:
        assert frames(answer.content)[-1][0] == 2
