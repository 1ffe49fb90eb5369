"""The script that runs in the sandbox, on its own: odd names, patterns, limits."""

import ast
import base64
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent import inside
from agent.sandbox import SCRIPTS


def ask(
    folder: Path, verb: str, request: dict[str, Any], script: bytes = SCRIPTS["inside.py"]
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", script, verb, str(folder)],
        env={"VIBECODER_REQUEST": json.dumps(request)},
        capture_output=True,
        check=False,
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> bytes:
    assert done.returncode == 0, done.stderr
    return b"".join(base64.b64decode(line, validate=True) for line in done.stdout.splitlines())


NAMES = st.binary(min_size=1, max_size=60).filter(
    lambda name: not set(name) & {0, 47} and name not in {b".", b"..", b".git"}
)


@settings(max_examples=10, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=1500), min_size=1, max_size=4))
def test_any_name_and_content_come_through(files: dict[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, data in files.items():
            Path(os.fsdecode(os.path.join(os.fsencode(folder), path))).write_bytes(data)  # noqa: PTH118
        listed = zlib.decompress(lines(ask(folder, "manifest", {})))
        assert [entry.partition(b"\t")[2] for entry in _entries(listed)] == sorted(files)
        encoded = [base64.b64encode(path).decode() for path in files]
        tar = lines(ask(folder, "take", {"paths": encoded, "max_bytes": 10_000}))
    with tarfile.open(fileobj=io.BytesIO(tar), encoding="utf-8", errors="surrogateescape") as taken:
        contents = [taken.extractfile(member) for member in taken.getmembers()]
        assert [content and content.read() for content in contents] == list(files.values())
        names = [member.name.encode("utf-8", "surrogateescape") for member in taken.getmembers()]
        assert names == list(files)


def _entries(listed: bytes) -> list[bytes]:
    # An entry is "mode sha1<TAB>path<NUL>", and neither of the first two holds a NUL.
    return listed.split(b"\0")[:-1]


def test_the_script_is_written_for_old_pythons_too() -> None:
    for script in SCRIPTS.values():
        ast.parse(script, feature_version=(3, 8))


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        ("*.py", ["a.py", "b/c.py", "b/d/e.py"], ["a.pyc", "b/py"]),
        ("b/*.py", ["b/c.py"], ["a.py", "b/d/e.py"]),
        ("b/**/*.py", ["b/c.py", "b/d/e.py"], ["a.py"]),
        ("**/e.py", ["b/d/e.py", "e.py"], ["xe.py"]),
        ("b/**", ["b/c.py", "b/d/e.py"], ["a.py"]),
        ("./a.*", ["a.py", "a.ts"], ["b.py"]),
        ("*.{ts,tsx}", ["a.ts", "b/a.tsx"], ["a.js", "a.{ts,tsx}"]),
        ("[ab].?s", ["a.ts", "b.js"], ["c.ts", "a.s"]),
        ("[!ab].ts", ["c.ts"], ["a.ts"]),
        ("a+b(1).txt", ["a+b(1).txt"], ["aab1.txt"]),
        ("ü*", ["ürgh"], ["urgh"]),
    ],
)
def test_globs_match_what_people_expect(
    pattern: str, matches: list[str], others: list[str]
) -> None:
    test = inside._matcher(pattern)
    assert [path for path in matches if not test(path.encode())] == []
    assert [path for path in others if test(path.encode())] == []


@given(st.text(max_size=20))
def test_any_text_is_a_glob_or_is_refused(pattern: str) -> None:
    try:
        inside._matcher(pattern)(b"some/path.py")
    except inside.Refused as refused:
        assert "glob" in str(refused)


def test_a_search_skips_what_nobody_wants_to_read(tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "a.js").write_text("needle")
    (tmp_path / "binary").write_bytes(b"needle\0")
    (tmp_path / "b.js").write_text("no\nneedle é\n")
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = ask(tmp_path, "grep", {"pattern": "n..dle", "path": ".", "glob": None, "limit": 10})
    assert json.loads(found.stdout)["lines"] == [["b.js", 2, "needle é"]]
    listed = zlib.decompress(lines(ask(tmp_path, "manifest", {})))
    assert b"node_modules/a.js" in listed


def test_a_bad_pattern_is_refused_with_a_sentence(tmp_path: Path) -> None:
    found = ask(tmp_path, "grep", {"pattern": "(", "path": ".", "glob": None, "limit": 10})
    assert found.returncode == 3
    assert b"not a valid regular expression" in found.stderr


def test_a_search_that_would_never_end_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a" * 60)
    script = SCRIPTS["inside.py"].replace(b"SECONDS = 20", b"SECONDS = 1")
    request = {"pattern": "(a|a)*b", "path": ".", "glob": None, "limit": 10}
    found = ask(tmp_path, "grep", request, script)
    assert found.returncode == 3
    assert b"more than 1 seconds" in found.stderr


def test_python_is_judged_by_the_interpreter_at_hand(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_bytes(b"# -*- coding: latin-1 -*-\nx = '\xe9'\n")
    (tmp_path / "bad.py").write_text("a = 1\nb = (\n")
    (tmp_path / "nul.py").write_bytes(b"a\0b")
    (tmp_path / "deep.py").write_text("(" * 5000)
    names = ["good.py", "bad.py", "nul.py", "deep.py", "missing.py"]
    answer = json.loads(ask(tmp_path, "python_syntax", {"paths": names}).stdout)
    assert answer["good.py"] is None
    assert answer["bad.py"][0] == 2
    assert all(answer[name] for name in names[1:])


def test_a_command_runs_though_the_disk_is_full() -> None:
    request = {"command": "seq 9999", "cwd": "/", "seconds": 20, "log": "/dev/full", "keep": 1000}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", SCRIPTS["supervise.py"]],
        env={"VIBECODER_REQUEST": json.dumps(request)},
        capture_output=True,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["exit_code"] == 0
    assert answer["logged"] is False
    assert base64.b64decode(answer["head"]).startswith(b"1\n2\n")
    assert base64.b64decode(answer["tail"]).endswith(b"9998\n9999\n")
