"""Pages for people."""

from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from vibecoder.local.github import bare, diffs, markdown


async def test_the_pages_show_an_issue_and_a_pull_request(
    world: Any, http: httpx.AsyncClient, api: Any
) -> None:
    world.add_issue("acme/widgets", "Uses `turn`", "See **this**. <script>alert(1)</script>", "rob")
    await http.post(
        "/_admin/repositories/acme/widgets/commits",
        json={"branch": "fix/a", "files": {"src/widget.py": "def turn():\n    return 2\n"}},
    )
    body = {"title": "Fix", "head": "fix/a", "base": "main", "body": "Closes #1 <!-- mark -->"}
    made = (await api("POST", "/repos/acme/widgets/pulls", "installation", json=body)).json()
    run = {"name": "vibecode", "head_sha": made["head"]["sha"], "conclusion": "success"}
    run |= {"output": {"title": "Done", "summary": "All **well**"}}
    check = await api("POST", "/repos/acme/widgets/check-runs", "installation", json=run)

    issue = await http.get("/acme/widgets/issues/1")
    assert "<strong>this</strong>" in issue.text and "<code>turn</code>" in issue.text
    assert "<script>" not in issue.text
    assert "default-src 'none'" in issue.headers["content-security-policy"]

    page = (await http.get("/acme/widgets/pull/2")).text
    assert "All checks have passed" in page and "All <strong>well</strong>" in page
    assert 'href="/acme/widgets/issues/1"' in page and "mark" not in page
    assert "fix/a" in page and 'class="added"' in page and 'class="removed"' in page
    for path in (
        "/",
        "/acme",
        "/acme/widgets",
        "/acme/widgets/tree/fix/a/src",
        "/acme/widgets/blob/fix/a/src/widget.py",
        "/acme/widgets/issues",
        "/acme/widgets/pulls",
        "/acme/widgets/commits",
        "/acme/widgets.git",
        f"/acme/widgets/runs/{check.json()['id']}",
        f"/acme/widgets/commit/{made['head']['sha']}",
        "/acme/widgets/pull/2.diff",
        "/apps/cloud-vibecoder",
        "/_static/github.css",
    ):
        answer = await http.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, path
    assert (await http.get("/acme/widgets/issues/99")).status_code == 404
    assert (await http.get("/acme/nothing")).status_code == 404


async def test_people_comment_and_press_buttons_in_the_browser(
    world: Any, http: httpx.AsyncClient
) -> None:
    issue = world.add_issue("acme/widgets", "One", None, "rob")
    path = "/acme/widgets/issues/1/comments"
    answer = await http.post(path, data={"body": "/vibecode plan\r\nnow", "by": "rob"})
    assert answer.status_code == 303
    (comment,) = issue.comments.values()
    assert (comment.author.login, comment.body) == ("rob", "/vibecode plan\nnow")
    elsewhere = await http.post(
        path, data={"body": "x"}, headers={"Origin": "https://evil.example"}
    )
    assert elsewhere.status_code == 403 and len(issue.comments) == 1


def test_markdown_keeps_folds_and_drops_marks() -> None:
    text = "<details><summary>More</summary>\n\n<!-- hidden -->\ntext @maya\n\n</details>"
    shown = markdown.render(text, "/a/b")
    assert "<details><summary>More</summary>" in shown and "hidden" not in shown
    assert '<a href="/maya">@maya</a>' in shown


@given(st.text() | st.from_regex(r"(<[a-z!/]+[^>]*>|[`*_#@\n -]+|https?://x\S*|\w+)*"))
@settings(max_examples=200, deadline=None)
def test_no_markdown_brings_a_script_or_an_attribute(text: str) -> None:
    shown = markdown.render(text, "/a/b").lower()
    for bad in ("<script", "<iframe", "<style", "<svg", "<form", 'href="javascript'):
        assert bad not in shown


def test_diffs_color_line_by_line() -> None:
    patch = "@@ -1,3 +1,3 @@ def f\n x = '''\n-a\n+b\n '''\n\\ No newline at end of file"
    rows = diffs.rows("a.py", patch)
    assert [(row.kind, row.old, row.new) for row in rows] == [
        ("hunk", None, None),
        ("same", 1, 1),
        ("removed", 2, None),
        ("added", None, 2),
        ("same", 3, 3),
        ("note", None, None),
    ]


def test_names_that_are_not_utf8_are_stored_as_they_are(tmp_path: Any) -> None:
    folder = tmp_path / "x.git"
    bare.create(folder, "main")
    who = bare.Person("M", "m@example.com", "2026-01-02T03:04:05Z")
    bare.commit_files(folder, "main", {'caf\udce9 "q"\n.txt': b"\x00\xff\r\n"}, "x", who)
    listed = bare.git(folder, "ls-tree", "-z", "--name-only", "main")
    assert listed == b'caf\xe9 "q"\n.txt\0'
