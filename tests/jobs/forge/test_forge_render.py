"""What people read, as it is, at every moment of a job."""

import re
from dataclasses import replace

import pytest
from forge_jobs import MAYA, PLAN, Story
from forge_judge import assert_inert_to_bots, judged, shown
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from agent.plan import Plan, Step
from jobs.commands import Comment, Explain, Issue
from jobs.events import Revised, Steered
from jobs.forge import proof, render, replies
from jobs.forge.pieces import duration, together
from jobs.job import Job

WORDS = "@octocat fixes #99 <!-- vibecoder:job:x --> <img src=x> ```\n/lgtm\n" * 40


def test_queued() -> None:
    assert render.issue_comment(Story().job) == snapshot("""\
maya asked:
> fix the timestamps

### Queued

Work begins as soon as a worker is free.

<sub>`/vibecode stop` stops it</sub>\
""")


def test_planning() -> None:
    job = Story().cloned().noted("read_file src/itsdangerous/timed.py").job
    assert render.issue_comment(job, "https://vibe.example/") == snapshot("""\
maya asked:
> fix the timestamps

### Planning

Reading the code at bbbbbbb, `main`.

*Now:* read\\_file src/itsdangerous/timed.py

<sub>[watch it live](https://vibe.example/app/job/j0123456789abcdef0123) · `/vibecode stop` stops it</sub>\
""")  # noqa: E501  # one line, as it is sent


def test_a_plan_that_waits() -> None:
    job = Story().plan_only().cloned().planned(waits=True).job
    assert render.issue_comment(job) == snapshot("""\
maya asked:
> fix the timestamps

### A plan is waiting for your word

**Read timestamps as UTC**

Signed timestamps are read in *local* time, so `max_age` is off by the zone.

**Cause.** `timestamp_to_datetime` calls `utcfromtimestamp`, which is naive.

Seen in `src/itsdangerous/timed.py:41`.

**Steps**

1. **Add a failing test**  \n\
   Pin the zone and sign.  \n\
   Files: `tests/test_timed.py`
2. **Read timestamps as UTC**  \n\
   Use `datetime.fromtimestamp(..., tz=utc)`.  \n\
   Files: `src/itsdangerous/timed.py`  \n\
   Done when: the new test passes

**How it will be verified**
- `pytest tests -q`

**Risks**
- Callers that compare with naive datetimes now get a TypeError.

**Left out on purpose**
- The legacy epoch.

**Questions**
- Keep the old behaviour behind a flag? (yes / no) Without an answer: no.

To go on: `/vibecode accept abcd1234`. To drop it: `/vibecode stop`.
To have it otherwise: `/vibecode revise` and what to change.

<sub>$0.03 · 2.0k tokens read, 60 % from the cache · 150 written · `/vibecode stop` stops it</sub>\
""")


def test_accepted() -> None:
    job = Story().plan_only().cloned().planned(waits=True).approved().job
    assert render.issue_comment(job) == snapshot("""\
maya asked:
> fix the timestamps

### Queued

Work goes on as soon as a worker is free. rob accepted the plan.

Read timestamps as UTC

- ○ Add a failing test
- ○ Read timestamps as UTC

<sub>$0.03 · 2.0k tokens read, 60 % from the cache · 150 written · `/vibecode stop` stops it</sub>\
""")


def test_working() -> None:
    story = Story().cloned().planned().began(1).ran("pytest tests -q", 1, 0).committed(1, 1)
    job = story.opened().began(2).noted("edit src/itsdangerous/timed.py").job
    assert render.issue_comment(job) == snapshot("""\
maya asked:
> fix the timestamps

### Working: step 2 of 2

Read timestamps as UTC

- ✓ Add a failing test 1111111
- ▸ Read timestamps as UTC

*Now:* edit src/itsdangerous/timed.py

Last command: `pytest tests -q` (exit 1 in 1.2 s)

Draft pull request: #13

<sub>$0.03 · 2.0k tokens read, 60 % from the cache · 150 written · `/vibecode stop` stops it</sub>\
""")
    assert render.pull_comment(job) == snapshot("""\
### Working: step 2 of 2

- ✓ Add a failing test 1111111
- ▸ Read timestamps as UTC

*Now:* edit src/itsdangerous/timed.py

Last command: `pytest tests -q` (exit 1 in 1.2 s)

<sub>$0.03 · 2.0k tokens read, 60 % from the cache · 150 written · `/vibecode stop` stops it</sub>\
""")


def test_done() -> None:
    job = Story().worked().ended("succeeded", "Timestamps are read as UTC now.").job
    assert render.issue_comment(job) == snapshot("""\
maya asked:
> fix the timestamps

### Done: draft pull request #13

Timestamps are read as UTC now.

- ✓ Add a failing test 1111111
- ✓ Read timestamps as UTC 2222222

Tests pass on the last commit, 2222222. `pytest tests -q` failed before and passes now.

<sub>$0.03 · 2.0k tokens read, 60 % from the cache · 150 written</sub>\
""")
    assert render.pull_title(job) == "Read timestamps as UTC"
    assert render.pull_body(job) == snapshot("""\
Closes #12

Signed timestamps are read in *local* time, so `max_age` is off by the zone.

**Result.** Timestamps are read as UTC now.

### Why

`timestamp_to_datetime` calls `utcfromtimestamp`, which is naive.

Seen in `src/itsdangerous/timed.py:41`.

### What changed

| Step | Commit | Files | Lines |
|---|---|---|---|
| 1. Add a failing test | 1111111 | <code>tests/test\\_timed.py</code> | +10 −1 |
| 2. Read timestamps as UTC | 2222222 | <code>src/itsdangerous/timed.py</code> | +20 −2 |

### Tests that were really run

- `pytest tests -q` **failed before** (exit 1 on base bbbbbbb) and **passes after** (on 2222222).

| Exit | Time | Ran against | Command |
|---|---|---|---|
| 1 | 1.2 s | base bbbbbbb | <code>pytest tests -q</code> |
| 0 | 1.2 s | 2222222 (last) | <code>pytest tests -q</code> |

**Risks**
- Callers that compare with naive datetimes now get a TypeError.

**Left out on purpose**
- The legacy epoch.

To go on, push to `vibecode/12-timestamps-89abcdef` yourself, or comment `/vibecode` with what is missing on #12.

<sub>$0.03 · 2.0k tokens read, 60 % from the cache · 150 written</sub>\
""")  # noqa: E501  # one line, as it is sent


def test_the_checks_tab() -> None:
    job = Story().worked().job
    assert render.check(job).title == "Step 2 of 2: Read timestamps as UTC"
    done = render.check(Story().worked().ended("succeeded", "Timestamps are UTC.").job)
    assert done.title == snapshot("2 commits, tests pass")
    assert done.summary == snapshot("""\
Timestamps are UTC.

Tests pass on the last commit, 2222222. `pytest tests -q` failed before and passes now.

- ✓ Add a failing test 1111111
- ✓ Read timestamps as UTC 2222222

$0.03 · 2.0k tokens read, 60 % from the cache · 150 written\
""")
    assert done.text == snapshot("""\
### Tests that were really run

- `pytest tests -q` **failed before** (exit 1 on base bbbbbbb) and **passes after** (on 2222222).

| Exit | Time | Ran against | Command |
|---|---|---|---|
| 1 | 1.2 s | base bbbbbbb | <code>pytest tests -q</code> |
| 0 | 1.2 s | 2222222 (last) | <code>pytest tests -q</code> |

### Last commands

`pytest tests -q`: exit 0 in 1.2 s

```text
12 passed
```

`pytest tests -q`: exit 1 in 1.2 s

```text
1 failed
```\
""")


def test_nothing_to_change() -> None:
    job = Story().cloned().ended("succeeded", "The timestamps are UTC already.").job
    assert render.issue_comment(job) == snapshot("""\
maya asked:
> fix the timestamps

### Nothing was changed

The timestamps are UTC already.

So there is no pull request.\
""")


@pytest.mark.parametrize("outcome", ["failed", "stopped", "cancelled"])
def test_an_early_end_says_what_is_kept_and_what_remains(outcome: str) -> None:
    story = Story().cloned().planned().began(1).committed(1, 1).opened().began(2)
    job = story.ended(outcome, "It ended early.", ("Read timestamps as UTC",)).job  # type: ignore[arg-type]
    text = render.issue_comment(job)
    assert "It ended early." in text
    assert "1 commit in #13" in text
    assert "**Not done**\n- Read timestamps as UTC" in text
    assert "- ✗ Read timestamps as UTC" in text
    assert "Closes #12" not in render.pull_body(job)
    assert "Part of #12" in render.pull_body(job)


def test_the_commit_message() -> None:
    job = Story().cloned().planned().job
    summary = (
        "`utcfromtimestamp` gives a naive datetime; an aware one compares right. Fixes #3, "
        "see @octocat.\n\nSigned-off-by: Somebody <else@example.com>\n\n- one\n- two [skip ci]"
    )
    assert render.commit_message(job, PLAN, 2, summary) == snapshot("""\
Read timestamps as UTC

`utcfromtimestamp` gives a naive datetime; an aware one compares right.
Fixes no. 3, see @ octocat.

Signed-off-by  Somebody <else@ example.com>

- one
- two (skip ci)

Vibecode-Step: 2/2 fix-timestamp
Co-authored-by: maya <7+maya@users.noreply.github.com>
""")


def test_the_commit_names_who_accepted() -> None:
    job = Story().plan_only().cloned().planned(waits=True).approved().job
    message = render.commit_message(job, PLAN, 1, "", "users.noreply.ghe.example")
    assert message.endswith("Co-authored-by: rob <8+rob@users.noreply.ghe.example>\n")


def test_the_branch_is_ours_and_a_valid_name() -> None:
    assert render.branch_name(Story().job) == "vibecode/12-timestamps-are-off-cdef0123"


@given(st.text(max_size=80))
def test_any_title_makes_a_valid_branch(title: str) -> None:
    command = replace(Story().job.command, issue=Issue(12, title))
    job = Job("j" + "0" * 20, command, "queued", 0.0)
    assert re.fullmatch(r"vibecode/12-[a-z0-9]+(-[a-z0-9]+)*", render.branch_name(job))


def test_help_and_a_slip_of_the_pen() -> None:
    job = Story().job
    asked = Explain("k", job.command.actor, job.repository, Issue(12, "x"), Comment(5, "u"), "help")
    assert replies.explain(asked) == snapshot("""\
This is what I understand:

| Comment | What happens |
|---|---|
| `/vibecode fix the flaky retry` | the work is planned and done; a draft pull request appears |
| `/vibecode plan fix the flaky retry` | only a plan, which waits for your word |
| `/vibecode accept` | go on with the plan that waits here |
| `/vibecode` and more words | changes the plan that waits here, or tells the agent at work |
| `/vibecode revise smaller steps` | another plan than the one that waits here |
| `/vibecode stop` | stop; commits are kept |
| `/vibecode retry` | the last job's wish once more |
| `/vibecode status` | where the job stands |
| `/vibecode budget 5` | what the job may cost at most, in dollars |
| `/vibecode why` | what became of the last things said here; with a link, of that comment |
| `/vibecode help` | this list |\
""")
    slip = Explain(
        "k",
        job.command.actor,
        job.repository,
        Issue(12, "x"),
        Comment(5, "u"),
        "acept",
        "Did you mean `/vibecode accept`?",
    )
    assert replies.explain(slip).startswith(
        "Did you mean `/vibecode accept`?\n\nYou wrote `acept`."
    )


def test_busy_says_what_to_do() -> None:
    working = replies.refusal(replies.busy(Story().cloned().job))
    assert "still at what maya asked for" in working
    assert "`/vibecode stop`" in working


def test_a_request_that_joins_is_told_what_became_of_it() -> None:
    waiting = Story().plan_only().cloned().planned(waits=True).job
    revised = replies.joined(waiting, Revised(0, MAYA, "Smaller.", waiting.digest))
    assert "plan anew" in revised and "no longer counts" in revised
    steered = replies.joined(Story().cloned().job, Steered(0, MAYA, "Mind the dots."))
    assert "what maya asked for" in steered and "`/vibecode stop`" in steered


def test_what_people_said_meanwhile_is_shown_to_all_who_follow() -> None:
    story = Story().cloned().planned()
    for number in range(7):
        story.add(Steered(0, MAYA, f"Mind dot {number}. {WORDS}"))
    shown_ = render.issue_comment(story.job)
    assert "maya said:\n> Mind dot 6." in shown_ and "dot 2" in shown_ and "dot 1" not in shown_
    assert_inert_to_bots(shown_)


# ── honesty ───────────────────────────────────────────────────────────────────────────────────────


def test_a_run_belongs_to_the_state_it_saw() -> None:
    story = Story().cloned().planned().began(1)
    story.ran("pytest", 1, 0).ran("pytest", 1, 1).ran("pytest", 0, 2).committed(1, 2)
    story.ran("pytest", 0, 2).ran("pytest", 1, 3).committed(2, 4)
    one, two = story.shas
    assert [(t.against, t.base) for t in proof.tests(story.job)] == [
        ("b" * 40, True),
        ("", False),
        (one, False),
        (one, False),
        ("", False),
    ]
    assert two


def test_a_change_by_commands_alone_leaves_no_false_claim() -> None:
    story = Story().cloned().planned().began(1).ran("pytest", 1, 0).committed(1, 0)
    assert [t.against for t in proof.tests(story.job)] == [""]
    story.ran("pytest", 0, 0)
    assert [t.against for t in proof.tests(story.job)] == ["", story.shas[0]]


def test_a_new_sandbox_counts_from_nought() -> None:
    story = Story().cloned().planned().began(1).committed(1, 5).began(2).ran("pytest", 0, 0)
    assert [t.against for t in proof.tests(story.job)] == [story.shas[0]]


def test_verdicts() -> None:
    def end(story: Story, **more: object) -> str | None:
        return proof.conclusion(story.ended("succeeded", "s", **more).job)  # type: ignore[arg-type]

    assert proof.conclusion(Story().worked().job) is None
    assert end(Story().worked()) == "success"
    assert end(Story().worked(), not_done=("docs",)) == "neutral"
    assert end(Story().cloned().planned().began(1).committed(1, 1)) == "neutral"
    failing = Story().cloned().planned().began(1).ran("pytest", 1, 1).committed(1, 1)
    assert end(failing) == "neutral"
    elsewhere = Story().cloned().planned().began(1).ran("pytest", 0, 0).committed(1, 1)
    assert end(elsewhere) == "neutral"
    assert proof.conclusion(Story().worked().ended("failed", "s").job) == "failure"
    assert proof.conclusion(Story().worked().ended("stopped", "s").job) == "action_required"
    assert proof.conclusion(Story().worked().ended("cancelled", "s").job) == "cancelled"


@pytest.mark.parametrize(
    ("command", "tests"),
    [
        ("python -m pytest -q tests/x.py", True),
        ("npm test", True),
        ("go test ./...", True),
        ("cd a && cargo test", True),
        ("./gradlew test", True),
        ("ls", False),
        ("cat pytest.ini.old", False),
        ("pip install pytest", False),
        ("TZ=UTC .venv/bin/pytest -x", True),
        ("timeout 60 python3 -m unittest", True),
        ("grep -rn latest .", False),
    ],
)
def test_what_counts_as_a_test(command: str, tests: bool) -> None:
    assert proof.is_test(command) is tests


# ── hostile and huge ──────────────────────────────────────────────────────────────────────────────


def hostile_story() -> Story:
    many = tuple(WORDS for _ in range(50))
    plan = Plan(
        WORDS,
        WORDS * 20,
        tuple(Step(f"s{n}", WORDS, WORDS * 5, many, WORDS) for n in range(8)),
        WORDS * 20,
        many,
        many,
        many,
        many,
    )
    story = Story().cloned().planned(plan=plan)
    for number in range(200):
        story.ran(f"pytest {number} {WORDS}", 1, 0, WORDS)
    return story.began(1).noted(WORDS).committed(1, 1).opened()


def test_the_worst_job_stays_within_githubs_limits_and_inert() -> None:
    story = hostile_story()
    job = story.job
    done = story.ended("succeeded", WORDS * 100, (WORDS,) * 80).job
    for it in (job, done):
        check = render.check(it)
        texts = [
            render.issue_comment(it),
            render.pull_body(it),
            render.pull_comment(it),
            check.summary,
            check.text,
            "\n\n".join(render.plan_text(it.plan or PLAN))[:60_000],
        ]
        for text in texts:
            assert len(text.encode()) <= 60_000
            tokens = judged(text)
            ours = {"<sub>", "</sub>", "<code>", "</code>"}
            assert {t.content for t in tokens if t.type.startswith("html")} <= ours
            assert not [t for t in tokens if t.type in {"image", "link_open"}]
            assert not re.search(r"@octocat|#99", " ".join(shown(tokens)))
            assert_inert_to_bots(text)
        assert len(render.pull_title(it)) <= 256
        assert len(check.title) <= 120
        message = render.commit_message(it, it.plan or PLAN, 1, WORDS)
        assert len(message.splitlines()[0]) <= 72
        assert "@octocat" not in message
        assert "#99" not in message


def test_blocks_that_do_not_fit_end_the_message_whole() -> None:
    text = together(["a", "```\n" + "x" * 70_000 + "\n```", "b"], end="footer")
    assert text == "a\n\n*The rest is too long to be shown here.*\n\nfooter"


def test_durations() -> None:
    assert [duration(s) for s in (0.84, 42.2, 125)] == ["0.8 s", "42 s", "2 min 5 s"]
