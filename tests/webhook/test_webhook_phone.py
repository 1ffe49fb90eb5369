"""The screen at /app: how its files are served. tests/e2e/test_e2e_phone.py clicks through it."""

import gzip
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from webhook_front import Front, front_of

from jobs.queue.store import Store
from webhook.app import FrontDoor

ROOT = Path(__file__).parents[2]
EXPORT = ROOT / "mobile/dist"
PULL = "https://github.example/acme/widget/pull/8"


@pytest.fixture
async def exported(door: FrontDoor, store: Store, tmp_path: Path) -> AsyncIterator[Front]:
    (tmp_path / "dist/_expo/static/js").mkdir(parents=True)
    (tmp_path / "dist/assets").mkdir()
    (tmp_path / "dist/index.html").write_text("<title>the one page</title>")
    (tmp_path / "dist/_expo/static/js/entry-1.js").write_text("start()")
    (tmp_path / "dist/assets/icon.1.png").write_bytes(b"png")
    (tmp_path / "secret").write_text("outside")
    async with front_of(replace(door, phone=tmp_path / "dist"), store) as front:
        yield front


async def test_the_one_page_answers_for_every_screen(exported: Front) -> None:
    page = {"Accept": "text/html,application/xhtml+xml"}
    for path in ("/app/", "/app/index.html", "/app/jobs/j1", "/app/acme/widget.js"):
        answer = await exported.http.get(path, headers=page)
        assert (answer.status_code, answer.text) == (200, "<title>the one page</title>")
        assert answer.headers["cache-control"] == "no-cache"
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    moved = await exported.http.get("/app?job=j1", headers=page)
    assert (moved.status_code, moved.headers["location"]) == (307, "/app/?job=j1")


async def test_files_with_a_hash_in_their_name_stay(exported: Front) -> None:
    for path in ("/app/_expo/static/js/entry-1.js", "/app/assets/icon.1.png"):
        answer = await exported.http.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


async def test_the_app_travels_compressed(exported: Front, tmp_path: Path) -> None:
    script = "/app/_expo/static/js/entry-1.js"
    (tmp_path / "dist/_expo/static/js/entry-1.js.gz").write_bytes(gzip.compress(b"start()"))
    small = await exported.http.get(script)
    assert (small.text, small.headers["content-encoding"]) == ("start()", "gzip")
    assert "javascript" in small.headers["content-type"]
    assert "immutable" in small.headers["cache-control"]
    plain = await exported.http.get(script, headers={"Accept-Encoding": "identity"})
    assert plain.text == "start()"
    assert "content-encoding" not in plain.headers


async def test_what_is_no_file_is_no_page_for_programs(exported: Front) -> None:
    for path in ("/app/none.js", "/app/..%2fsecret", "/app/%2e%2e/secret"):
        answer = await exported.http.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"


async def test_without_an_export_there_is_no_screen(front: Front) -> None:
    assert (await front.http.get("/app/")).status_code == 404
