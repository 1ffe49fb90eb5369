"""The sandbox client against the local server: commands, files, errors, the end of it."""

import asyncio
import hashlib
import io
import tarfile
import time

import pytest
from agent_world import tar_of

from agent.errors import SandboxError, SandboxGone, SandboxRefused
from agent.sandbox import SCRIPTS, Sandbox, Sandboxes, SandboxSettings


def blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


async def test_output_comes_as_it_was_written(sandbox: Sandbox) -> None:
    ran = await sandbox.run("echo out; echo err >&2; printf 'ü\\n'; exit 3")
    assert ran.exit_code == 3
    assert ran.output == "out\nerr\nü\n"
    assert ran.output_sha256 == hashlib.sha256(ran.output.encode()).hexdigest()
    assert 0 < ran.seconds < 10


@pytest.mark.parametrize(
    ("command", "code"),
    [("false | cat", 1), ("kill -TERM $$", 143), ("no-such-program", 127), ("exit 255", 255)],
)
async def test_exit_codes_are_a_shells(sandbox: Sandbox, command: str, code: int) -> None:
    assert (await sandbox.run(command)).exit_code == code


async def test_long_output_keeps_its_ends_and_is_whole_in_the_log(sandbox: Sandbox) -> None:
    ran = await sandbox.run("echo begin; yes 0123456789 | head -n 500000; echo end")
    assert ran.output.startswith("begin\n0123")
    assert ran.output.endswith("0123456789\nend\n")
    assert "bytes left out" in ran.output
    assert len(ran.output) < 40_000
    assert len(await sandbox.read(ran.log)) == 6 + 500_000 * 11 + 4


async def test_bytes_that_are_no_text_do_not_hurt(sandbox: Sandbox) -> None:
    ran = await sandbox.run("head -c 200000 /dev/urandom; printf '\\0\\xff'")
    assert ran.exit_code == 0
    ran.output.encode()


async def test_a_time_limit_ends_the_command_and_all_it_started(sandbox: Sandbox) -> None:
    began = time.monotonic()
    ran = await sandbox.run("echo before; (setsid sleep 77 &); sleep 78", seconds=0.5)
    assert time.monotonic() - began < 10
    assert ran.exit_code is None
    assert ran.output == "before\n"
    assert "sleep" not in (await sandbox.run("cat /proc/[0-9]*/comm")).output


async def test_daemons_end_with_their_command(sandbox: Sandbox) -> None:
    ran = await sandbox.run("(setsid nohup sleep 79 >/dev/null 2>&1 &); sleep 80 & echo started")
    assert (ran.exit_code, ran.output) == (0, "started\n")
    assert "sleep" not in (await sandbox.run("cat /proc/[0-9]*/comm")).output


async def test_a_command_that_kills_everything_is_reported(sandbox: Sandbox) -> None:
    ran = await sandbox.run("kill -9 $PPID; sleep 5")
    assert ran.exit_code is None
    assert "output is lost" in ran.output
    assert (await sandbox.run("echo still here")).output == "still here\n"


async def test_very_long_commands_run(sandbox: Sandbox) -> None:
    text = "x" * 300_000
    ran = await sandbox.run(f"wc -c <<'END'\n{text}\nEND")
    assert ran.output.strip() == "300001"


async def test_commands_see_no_input_and_their_own_environment(sandbox: Sandbox) -> None:
    ran = await sandbox.run("cat; env | grep -c VIBECODER; echo $A", env={"A": "b c"}, cwd="/tmp")
    assert ran.output == "0\nb c\n"


async def test_our_script_comes_back_when_somebody_cleans_up(sandbox: Sandbox) -> None:
    assert (await sandbox.run("rm -rf ~/.vibecoder ~/.cache")).exit_code == 0
    assert (await sandbox.run("echo again")).output == "again\n"


async def test_a_command_that_cannot_start_says_why(sandbox: Sandbox) -> None:
    ran = await sandbox.run("true", cwd="nowhere")
    assert ran.exit_code == 126
    assert "nowhere" in ran.output
    assert (await sandbox.run("rm -rf ~/repo; true")).exit_code == 0
    ran = await sandbox.run("true")
    assert ran.exit_code == 126
    assert "/home/user/repo" in ran.output
    with pytest.raises(SandboxError, match="cannot be entered"):
        await sandbox.manifest()


async def test_files_are_written_and_read(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 10
    await sandbox.write("deep/er/ü é.bin", data)
    assert await sandbox.read("deep/er/ü é.bin") == data
    assert await sandbox.read("/home/user/repo/deep/er/ü é.bin") == data
    await sandbox.write("deep/er/ü é.bin", b"")
    assert await sandbox.read("deep/er/ü é.bin") == b""


async def test_writing_keeps_the_mode(sandbox: Sandbox) -> None:
    await sandbox.run("printf x > run.sh; chmod 755 run.sh")
    await sandbox.write("run.sh", b"y")
    assert (await sandbox.manifest()).startswith(b"100755 ")


async def test_what_is_no_file_raises_as_files_do(sandbox: Sandbox) -> None:
    await sandbox.run("mkdir folder; mkfifo pipe; ln -s nowhere link")
    with pytest.raises(FileNotFoundError):
        await sandbox.read("missing")
    for path in ("folder", "pipe", "/dev/zero"):
        with pytest.raises(OSError, match="regular file"):
            await sandbox.read(path)
    with pytest.raises(FileNotFoundError):
        await sandbox.read("link")
    with pytest.raises(OSError, match="regular file"):
        await sandbox.write("folder", b"")


async def test_a_file_without_end_is_not_read_whole(sandbox: Sandbox) -> None:
    await sandbox.run("head -c 20000001 /dev/zero > big")
    with pytest.raises(OSError, match="larger than 20,000,000 bytes"):
        await sandbox.read("big")


async def test_the_manifest_names_everything_as_git_would(sandbox: Sandbox) -> None:
    await sandbox.unpack(tar_of({"b/file": b"text\n", "a": b"", "c.d/x": b"1"}))
    await sandbox.run(
        "chmod +x a; ln -s b/file link; ln -s /etc away; mkfifo pipe; mkdir -p b/.git empty; "
        "touch b/.git/config; printf odd > $'\\xff\\n\\tname'; touch closed; chmod 0 closed"
    )
    entries = (await sandbox.manifest()).split(b"\0")
    assert entries.pop() == b""
    found = {path: what for what, _, path in (entry.partition(b"\t") for entry in entries)}
    assert found == {
        b"a": b"100755 " + blob(b"").encode() + b" %d" % len(b""),
        b"away": b"120000 " + blob(b"/etc").encode(),
        b"b/.git": b"000000 git",
        b"b/file": b"100644 " + blob(b"text\n").encode() + b" %d" % len(b"text\n"),
        b"c.d/x": b"100644 " + blob(b"1").encode() + b" %d" % len(b"1"),
        b"closed": b"000000 unreadable",
        b"link": b"120000 " + blob(b"b/file").encode(),
        b"pipe": b"000000 fifo",
        b"\xff\n\tname": b"100644 " + blob(b"odd").encode() + b" %d" % len(b"odd"),
    }
    assert list(found) == sorted(found)


async def test_taken_files_come_as_they_are(sandbox: Sandbox) -> None:
    long = "d/" * 60 + "x" * 150
    await sandbox.write(long, b"long")
    await sandbox.run(
        "printf odd > $'\\xff\\n'; chmod +x $'\\xff\\n'; ln -s gone link; seq 200000 >n"
    )
    out = io.BytesIO()
    await sandbox.take([b"\xff\n", long.encode(), b"link", b"n"], out, 2_000_000)
    out.seek(0)
    with tarfile.open(fileobj=out, errors="surrogateescape") as tar:
        odd, deep, link, numbers = tar.getmembers()
        assert odd.name.encode("utf-8", "surrogateescape") == b"\xff\n"
        assert odd.mode == 0o755
        assert deep.name == long
        assert link.issym()
        assert link.linkname == "gone"
        content = tar.extractfile(numbers)
        assert content is not None
        assert content.read() == b"".join(b"%d\n" % n for n in range(1, 200_001))


async def test_no_more_is_taken_than_was_allowed(sandbox: Sandbox) -> None:
    await sandbox.run("head -c 3000 /dev/zero > a; head -c 3000 /dev/zero > b")
    out = io.BytesIO()
    await sandbox.take([b"a", b"b"], out, 6000)
    with pytest.raises(SandboxError, match="exceed 5,999 bytes"):
        await sandbox.take([b"a", b"b"], io.BytesIO(), 5999)
    with pytest.raises(SandboxError, match="gone could not be read"):
        await sandbox.take([b"gone"], io.BytesIO(), 100)
    with pytest.raises(SandboxError, match="no regular file"):
        await sandbox.run("mkdir folder")
        await sandbox.take([b"folder"], io.BytesIO(), 100)


async def _replace_scripts(sandbox: Sandbox, script: bytes) -> None:
    for name in SCRIPTS:
        await sandbox.write(f"/home/user/.vibecoder/{name}", script)


LIES = [
    "print('')",
    "print('[]')",
    "print('{\"exit_code\": 0}')",
    "print('AAAA')",
    "print('A')",
    "print('x' * 30_000_000)",
    "import sys; sys.exit(3)",
    "import base64, zlib; print(base64.b64encode(zlib.compress(b'0' * 200_000_000)).decode())",
]


@pytest.mark.parametrize("lie", LIES)
async def test_a_script_that_was_replaced_ends_in_a_sandbox_error(
    sandbox: Sandbox, lie: str
) -> None:
    await _replace_scripts(sandbox, lie.encode())
    with pytest.raises(SandboxError):
        await sandbox.manifest()
    await _replace_scripts(sandbox, lie.encode())
    try:
        assert (await sandbox.run("true")).exit_code in {None, 126}
    except (SandboxError, ValueError) as error:
        assert len(str(error)) < 500  # either is right


async def test_endless_lies_are_cut_short(sandbox: Sandbox) -> None:
    lie = b"while True:\n    print('x' * 100_000)\n"
    for use in (sandbox.manifest, lambda: sandbox.run("true")):
        await _replace_scripts(sandbox, lie)
        began = time.monotonic()
        with pytest.raises(SandboxError):
            await use()
        assert time.monotonic() - began < 15


async def test_the_same_job_and_attempt_have_one_sandbox(sandboxes: Sandboxes) -> None:
    first = await sandboxes.create("Job/1", "1")
    await first.write("kept", b"yes")
    again = await sandboxes.create("Job/1", "1")
    other = await sandboxes.create("Job/1", "2")
    assert first.id == again.id != other.id
    assert await (await sandboxes.connect(first.id)).read("kept") == b"yes"
    await first.kill()
    await other.kill()


async def test_sweeping_ends_what_nobody_wants(sandboxes: Sandboxes) -> None:
    wanted, orphan = await sandboxes.create("wanted", "1"), await sandboxes.create("orphan", "1")

    async def is_wanted(job_id: str) -> bool:
        return job_id != "orphan"

    assert await sandboxes.sweep(is_wanted) == [orphan.id]
    assert (await wanted.run("true")).exit_code == 0
    with pytest.raises(SandboxGone):
        await orphan.run("true")
    await wanted.kill()


async def test_a_sandbox_that_is_gone_says_so(sandboxes: Sandboxes) -> None:
    sandbox = await sandboxes.create("gone", "1")
    await sandbox.kill()
    await sandbox.kill()
    for use in (
        sandbox.run("true"),
        sandbox.read("a"),
        sandbox.write("a", b""),
        sandbox.manifest(),
        sandbox.keep_alive(),
        sandbox.unpack(tar_of({})),
        sandboxes.connect(sandbox.id),
    ):
        with pytest.raises(SandboxGone, match="no longer exists"):
            await use


async def test_a_sandbox_that_dies_under_a_command_says_so(sandboxes: Sandboxes) -> None:
    sandbox = await sandboxes.create("dies", "1")
    command = asyncio.create_task(sandbox.run("touch began; sleep 60"))
    await sandbox.run("until [ -e began ]; do :; done")
    await sandbox.kill()
    with pytest.raises(SandboxGone):
        await command


async def test_a_wrong_key_is_refused_without_being_shown(sandboxes: Sandboxes) -> None:
    url = sandboxes._settings.api_url
    key = "e2b_" + "9" * 40
    with pytest.raises(SandboxRefused, match="E2B_API_KEY") as refused:
        await Sandboxes(SandboxSettings(key, url, url, None), "x").create("j", "1")
    assert "999" not in str(refused.value)


async def test_an_unreachable_provider_is_a_sentence() -> None:
    url = "http://127.0.0.1:9"
    with pytest.raises(SandboxError, match="could not be created"):
        await Sandboxes(SandboxSettings("e2b_" + "9" * 40, url, url, None), "x").create("j", "1")
