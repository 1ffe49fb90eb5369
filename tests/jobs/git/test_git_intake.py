"""What is refused, by name and with a sentence; and what costs nothing."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from git_world import BOT, Files, Server, compare, save, seed, unpack

from jobs.forge import intake
from jobs.forge.git import Checkout, Commit, Person, Refusals

FILE, LINK = 0o100644, 0o120000


@pytest.fixture
def checkout(server: Server, tmp_path: Path) -> Iterator[Checkout]:
    bare = server.create()
    seed(
        bare,
        {
            b"README.md": (FILE, b"# r\n"),
            b"src/a.py": (FILE, b"a = 1\n"),
            b".gitignore": (FILE, b"build/\n*.o\n!keep.o\n/only-root\nnode_modules\n"),
            b"src/.gitignore": (FILE, b"local\n"),
            b".github/workflows/ci.yml": (FILE, b"on: push\n"),
            b".github/CODEOWNERS": (FILE, b"* @ann\n"),
            b".github/vibecode.yml": (FILE, b"usd: 1\n"),
            b"old.o": (FILE, b"tracked\n"),
            b"fixture.pem": (FILE, KEY),
        },
    )
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        yield found


KEY = (
    b"-----BEGIN RSA PRIVATE KEY-----\n"
    + b"MIIEowIBAAKCAQEA7bq98fE2Xz0PqLkJhGfDsAaQwErTyUiOp\n" * 3
)
GHP = b"ghp_" + b"Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"


def refusals(checkout: Checkout, files: Files) -> list[tuple[str, str]]:
    made = save(checkout, files)
    assert isinstance(made, Refusals), made
    for each in made.refused:
        assert each.reason.endswith(".") and each.reason[0] in "`NT0123456789"
        assert len(each.reason) < 500
    return [(each.path, each.kind) for each in made.refused]


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        (b".git/config", "git_dir", ".git"),
        (b".git/hooks/post-commit", "git_dir", ".git"),
        (b".GIT/x", "git_dir", ".GIT"),
        (b"src/.git/x", "git_dir", "src/.git"),
        (b"GIT~1/x", "git_dir", "GIT~1"),
        (b".git./x", "git_dir", ".git."),
        (b".git /x", "git_dir", ".git "),
        (b".git::$INDEX_ALLOCATION/x", "git_dir", ".git::$INDEX_ALLOCATION"),
        (b".g\xe2\x80\x8cit/x", "git_dir", ".g\u200cit"),
        (b"a\\.git\\x", "git_dir", "a\\.git\\x"),
        (b"new\nline", "name", "new\nline"),
        (b"esc\x1b[31m", "name", "esc\x1b[31m"),
        (b"bidi\xe2\x80\xaetxt.exe", "name", "bidi\u202etxt.exe"),
        (b"d/" * 100 + b"f", "name", "d/" * 100 + "f"),
        (b"long/" * 900, "name", ""),
        (b"readme.MD", "clash", "readme.MD"),
        (b"SRC/b.py", "clash", "SRC"),
        (b".gitmodules", "submodule", ".gitmodules"),
        (b"sub/.GITMODULES", "submodule", "sub/.GITMODULES"),
        (b".github/workflows/new.yml", "workflow", ".github/workflows/new.yml"),
        (b".GitHub/Workflows/new.yml", "workflow", ".GitHub/Workflows/new.yml"),
        (b".github/actions/x/action.yml", "workflow", ".github/actions/x/action.yml"),
        (b".gitlab-ci.yml", "workflow", ".gitlab-ci.yml"),
        (b"Jenkinsfile", "workflow", "Jenkinsfile"),
        (b".circleci/config.yml", "workflow", ".circleci/config.yml"),
        (b"CODEOWNERS", "owners", "CODEOWNERS"),
        (b"docs/codeowners", "owners", "docs/codeowners"),
        (b".github/vibecode.yaml", "settings", ".github/vibecode.yaml"),
    ],
)
def test_names_that_are_refused(checkout: Checkout, path: bytes, kind: str, told: str) -> None:
    files = unpack(checkout)
    path = path.rstrip(b"/")
    files.content[path] = (FILE, b"x\n")
    found = refusals(checkout, files)
    assert (told or path.decode(), kind) in found


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b".github/workflows/ci.yml", "workflow"),
        (b".github/CODEOWNERS", "owners"),
        (b".github/vibecode.yml", "settings"),
    ],
)
def test_protected_files_may_neither_change_nor_go(
    checkout: Checkout, path: bytes, kind: str
) -> None:
    files = unpack(checkout)
    before = files.content[path]
    files.content[path] = (FILE, b"changed\n")
    assert refusals(checkout, files) == [(path.decode(), kind)]
    del files.content[path]
    assert refusals(checkout, files) == [(path.decode(), kind)]
    files.content[path] = before
    assert compare(checkout, files).empty


@pytest.mark.parametrize("kind", [b"fifo", b"socket", b"device", b"unreadable", b"git"])
def test_what_git_cannot_hold_is_refused(checkout: Checkout, kind: bytes) -> None:
    files = unpack(checkout)
    files.content[b"odd"] = (0, kind)
    assert refusals(checkout, files) == [("odd", "special")]
    files.content[b"src/a.py"] = (0, kind)
    del files.content[b"odd"]
    assert refusals(checkout, files) == [("src/a.py", "special")]
    files = unpack(checkout)
    files.content[b"build/odd"] = (0, kind)
    assert compare(checkout, files).ignored == 1


@pytest.mark.parametrize(
    "target",
    [b"/etc/passwd", b"..", b"../x", b"a/../../x", b"a/..", b".git/config", b"./.GIT", b"../../x"],
)
def test_links_that_leave_are_refused(checkout: Checkout, target: bytes) -> None:
    files = unpack(checkout)
    files.write("link", target, LINK)
    assert refusals(checkout, files) == [("link", "link")]


@pytest.mark.parametrize("target", [b"README.md", b"src/a.py", b"./src", b"nowhere", b"a//b"])
def test_links_that_stay_are_taken(checkout: Checkout, target: bytes) -> None:
    files = unpack(checkout)
    files.write("link", target, LINK)
    files.write("src/up", b"../README.md", LINK)
    assert isinstance(save(checkout, files), Commit)


@pytest.mark.parametrize("path", [".gitignore", "src/.gitattributes", ".GITATTRIBUTES", "GITIGN~1"])
def test_gits_own_files_may_not_be_links(checkout: Checkout, path: str) -> None:
    files = unpack(checkout)
    files.write(path, b"README.md", LINK)
    assert (path, "link") in refusals(checkout, files)


def test_an_ignored_artefact_costs_nothing_and_an_open_one_is_named(checkout: Checkout) -> None:
    files = unpack(checkout)
    manifest = files.manifest() + b"100644 %s 200000000\tbuild/big.bin\0" % (b"1" * 40)
    changes = checkout.compare(manifest)
    assert changes.empty and changes.ignored == 1
    manifest = files.manifest() + b"100644 %s 200000000\tout.bin\0" % (b"1" * 40)
    changes = checkout.compare(manifest)
    assert [(r.path, r.kind) for r in changes.refused] == [("out.bin", "too_large")]
    assert "200 MB" in changes.refused[0].reason and ".gitignore" in changes.refused[0].reason


def test_sizes_are_checked_where_the_manifest_tells_none(checkout: Checkout) -> None:
    files = unpack(checkout)
    files.write("large", b"0" * (intake.MAX_FILE + 1))
    files.write("small", b"1")
    assert refusals(checkout, files) == [("large", "too_large")]
    files = unpack(checkout)
    for number in range(6):
        files.write(f"part{number}", b"%d" % number * (intake.MAX_STEP // 5))
    assert refusals(checkout, files) == [("", "too_large")]


def test_too_many_files_are_refused_by_their_folder(checkout: Checkout) -> None:
    files = unpack(checkout)
    for number in range(intake.MAX_CHANGES + 1):
        files.write(f"vendor/{number}.js", b"x")
    assert refusals(checkout, files) == [("vendor", "too_many")]


def test_many_refusals_are_counted(checkout: Checkout) -> None:
    files = unpack(checkout)
    for number in range(100):
        files.write(f"{number}\n", b"x")
    made = save(checkout, files)
    assert isinstance(made, Refusals)
    assert len(made.refused) == intake.MAX_TOLD + 1
    assert made.reasons[-1] == "60 more files were refused for such reasons."


def test_ignore_rules_are_gits(checkout: Checkout) -> None:
    files = unpack(checkout)
    for path in (
        "x.o", "src/deep/y.o", "build/keep.o", "only-root", "src/local", "src/deep/local",
        "a/node_modules/b/.git/config",
    ):  # fmt: skip
        files.write(path, b"ignored")
    for path in ("keep.o", "src/keep.o", "src/only-root", "local"):
        files.write(path, b"kept")
    files.write("old.o", b"tracked and changed")
    changes = compare(checkout, files)
    assert changes.ignored == 7
    assert set(changes.take) == {b"keep.o", b"src/keep.o", b"src/only-root", b"local", b"old.o"}


def test_a_rule_written_in_this_step_counts(checkout: Checkout) -> None:
    files = unpack(checkout)
    files.write(".gitignore", b"dist/\n")
    files.write("dist/out", b"x")
    files.write("lib/.gitignore", b"*.tmp\n")
    files.write("lib/a.tmp", b"x")
    manifest = files.manifest()
    assert checkout.changed_rules(manifest) == (b".gitignore", b"lib/.gitignore")
    changes = compare(checkout, files)
    assert changes.take == (b".gitignore", b"lib/.gitignore")
    assert changes.left_out == {b"dist/out", b"lib/a.tmp"}
    lie = checkout.compare(manifest, {b".gitignore": b"*\n"})
    assert b"dist/out" in lie.take  # not what the manifest lists


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (GHP, "a GitHub token"),
        (b"ghs_123456_eyJhbGciOiJ.eyJpc3MiOiIxMjM0.c2lnbmF0dXJl-x_y", "a GitHub token"),
        (b"github_pat_" + b"11ABCDEFG0abcdefghijkl_mnop", "a GitHub token"),
        (b"AKIA" + b"Q3EGR7ABCD2XYZWV", "an AWS access key"),
        (b"sk-ant-" + b"api03-" + b"aB3_dE6-gH9jKl2mN5pQ8sT1vW4yZ7", "an Anthropic API key"),
        (b"e2b_" + b"0123456789abcdef0123456789abcdef01234567", "an E2B API key"),
        (KEY.replace(b"7bq", b"8cr"), "a private key"),
        (KEY.replace(b"\n", b"\\n").replace(b"7bq", b"9ds"), "a private key"),
        (KEY.replace(b"RSA ", b"OPENSSH ").replace(b"7bq", b"1et"), "a private key"),
    ],
)  # fmt: skip
def test_credentials_in_new_text_are_refused_and_not_repeated(
    checkout: Checkout, text: bytes, what: str
) -> None:
    files = unpack(checkout)
    files.write("conf.py", b'a = 1\nb = 2\nKEY = "' + text + b'"\n')
    made = save(checkout, files)
    assert isinstance(made, Refusals)
    assert [(each.path, each.kind) for each in made.refused] == [("conf.py", "secret")]
    assert f"{what} in line 3" in made.reasons[0]
    assert text[8:20].decode() not in made.reasons[0]


@pytest.mark.parametrize(
    "text",
    [
        b"AKIAIOSFODNN7EXAMPLE",
        b"ghp_" + b"x" * 36,
        b"ghp_short",
        b"-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        b'if "-----BEGIN RSA PRIVATE KEY-----" in text:',
        b"sk-ant-...",
    ],
)
def test_placeholders_are_no_credentials(checkout: Checkout, text: bytes) -> None:
    files = unpack(checkout)
    files.write("docs.md", text + b"\n")
    assert isinstance(save(checkout, files), Commit)


def test_credentials_that_were_there_are_not_new(checkout: Checkout) -> None:
    files = unpack(checkout)
    files.content[b"tests/moved.pem"] = files.content.pop(b"fixture.pem")
    assert isinstance(save(checkout, files), Commit)
    files = unpack(checkout)
    files.write("fixture.pem", b"# a comment\n" + KEY)
    assert isinstance(save(checkout, files), Commit)
    files.write("copied.pem", KEY)
    assert refusals(checkout, files) == [("copied.pem", "secret")]


def test_a_credential_in_the_message_is_refused(checkout: Checkout) -> None:
    files = unpack(checkout)
    files.write("README.md", b"new\n")
    made = save(checkout, files, "Use " + GHP.decode())
    assert isinstance(made, Refusals)
    assert made.refused[0].kind == "secret" and GHP.decode() not in made.reasons[0]


def test_nothing_changed_is_told(checkout: Checkout) -> None:
    assert refusals(checkout, unpack(checkout)) == [("", "nothing")]


def test_a_file_that_changes_meanwhile_is_told(checkout: Checkout) -> None:
    files = unpack(checkout)
    files.write("README.md", b"1\n")
    files.write("src/a.py", b"2\n")
    changes = compare(checkout, files)
    files.write("README.md", b"3\n")
    tar = files.tar((b"README.md",))
    made = checkout.commit(changes, tar, message="m", author=BOT, committer=BOT, when=0)
    assert isinstance(made, Refusals)
    assert [(r.path, r.kind) for r in made.refused] == [
        ("README.md", "moved"),
        ("src/a.py", "moved"),
    ]


def test_people_cannot_forge_headers(checkout: Checkout) -> None:
    odd = Person("A\nB <x>\0", "a@b>\ncommitter C <c@d")
    assert odd.line() == b"AB x <a@bcommitter C c@d>"
    assert Person("", "").line() == b"unknown <>"


@pytest.mark.parametrize("rules", [b"*a*a*a*a*b\n", b"*a*a*a*b\n" * 8000, b"*" * 5000 + b"x\n"])
def test_crafted_rules_do_not_hold_a_worker(
    server: Server, tmp_path: Path, rules: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.forge.tree.RULE_SECONDS", 1.0)
    bare = server.create("o/rules")
    attributes = b"".join(line + b" filter=lfs\n" for line in rules.split(b"\n")[:100] if line)
    seed(
        bare,
        {
            b".gitignore": (FILE, rules),
            b".gitattributes": (FILE, attributes),
            **{b"a" * (120 + n): (FILE, b"x") for n in range(20)},
        },
    )
    began = time.monotonic()
    with Checkout.fetch(tmp_path / "rules", server.remote("o/rules"), None) as found:
        files = unpack(found)
        for number in range(50):
            files.write("a" * (100 + number) + "c", b"x")
        compare(found, files)
    assert time.monotonic() - began < 20


def test_a_step_without_new_content_needs_no_tar(checkout: Checkout) -> None:
    files = unpack(checkout)
    del files.content[b"old.o"]
    changes = compare(checkout, files)
    made = checkout.commit(changes, BytesIO(), message="m", author=BOT, committer=BOT, when=0)
    assert isinstance(made, Commit)
    assert [(f.path, f.status) for f in made.files] == [("old.o", "deleted")]
